package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

const maxErrors = 5

// result collects; summary is what is printed.
type result struct {
	sent      int
	failed    int
	errors    []string
	latencies []time.Duration
}

type summary struct {
	Sent      int      `json:"sent"`     // with those that open connections, which are not timed
	Requests  int      `json:"requests"` // timed and answered
	Failed    int      `json:"failed"`
	Errors    []string `json:"errors"` // the first few
	Seconds   float64  `json:"seconds"`
	RPS       float64  `json:"rps"`
	P50       float64  `json:"p50_ms"`
	P99       float64  `json:"p99_ms"`
	Max       float64  `json:"max_ms"`
	Histogram [][2]int `json:"histogram"` // [upper bound in microseconds, requests]; bounds grow by a quarter
}

func (l *load) sent() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.result.sent++
}

func (l *load) note(latency time.Duration, err error, timed bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch {
	case err != nil:
		l.result.failed++
		if len(l.result.errors) < maxErrors {
			l.result.errors = append(l.result.errors, err.Error())
		}
	case timed:
		l.result.latencies = append(l.result.latencies, latency)
	}
}

// check judges a whole reply.
func (l *load) check(response *http.Response, body []byte) error {
	wanted := 1
	if l.HTTP2 {
		wanted = 2
	}
	size := int64(len(body))
	if response.Header.Get("Content-Encoding") == "gzip" {
		reader, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return err
		}
		if body, err = io.ReadAll(reader); err != nil {
			return err
		}
	}
	switch {
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", response.Status, body[:min(len(body), 400)])
	case response.ProtoMajor != wanted:
		return fmt.Errorf("the reply came by %s", response.Proto)
	case l.Contains != "" && !bytes.Contains(body, []byte(l.Contains)):
		return fmt.Errorf("the reply lacks %q: %s", l.Contains, body[:min(len(body), 400)])
	case l.Lacks != "" && bytes.Contains(body, []byte(l.Lacks)):
		return fmt.Errorf("the reply has %q in it", l.Lacks)
	}
	return l.checkSize(size, response.Header.Get("Content-Encoding"))
}

// checkSize holds every reply to the size of the first: each was cut off nowhere and is no other message.
func (l *load) checkSize(size int64, encoding string) error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.size == 0 {
		l.size = size
	}
	if size == 0 || size != l.size {
		return fmt.Errorf("a reply of %d bytes (encoding %q) after one of %d", size, encoding, l.size)
	}
	return nil
}

func (r *result) summary(elapsed time.Duration) summary {
	slices.Sort(r.latencies)
	made := summary{
		Sent: r.sent, Requests: len(r.latencies), Failed: r.failed, Errors: append([]string{}, r.errors...),
		Seconds: elapsed.Seconds(), RPS: float64(len(r.latencies)) / elapsed.Seconds(), Histogram: [][2]int{},
	}
	if len(r.latencies) > 0 {
		made.P50, made.P99 = r.percentile(0.50), r.percentile(0.99)
		made.Max = milliseconds(r.latencies[len(r.latencies)-1])
	}
	bound := 10.0
	for _, latency := range r.latencies {
		for float64(latency.Microseconds()) > bound {
			bound *= 1.25
		}
		if last := len(made.Histogram) - 1; last >= 0 && made.Histogram[last][0] == int(bound) {
			made.Histogram[last][1]++
		} else {
			made.Histogram = append(made.Histogram, [2]int{int(bound), 1})
		}
	}
	return made
}

// percentile is the smallest latency that `share` of the requests did not exceed.
func (r *result) percentile(share float64) float64 {
	index := int(share*float64(len(r.latencies)) + 0.999999)
	return milliseconds(r.latencies[max(1, index)-1])
}

func milliseconds(duration time.Duration) float64 {
	return float64(duration) / float64(time.Millisecond)
}
