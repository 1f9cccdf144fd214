package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const requestTimeout = 30 * time.Second

// job is read as JSON from standard input.
type job struct {
	URL            string            `json:"url"`
	Proxy          string            `json:"proxy"` // "": none
	Dial           string            `json:"dial"`  // host:port to connect to instead of the URL's; "": the URL's
	CAFile         string            `json:"ca_file"`
	HTTP2          bool              `json:"http2"`
	Connections    int               `json:"connections"`     // each with one request at a time, or
	Streams        int               `json:"streams"`         // with this many, HTTP/2
	NewConnections bool              `json:"new_connections"` // one per request, Connections at a time
	Seconds        float64           `json:"seconds"`
	Requests       int               `json:"requests"` // at most so many; 0: no limit
	Rate           float64           `json:"rate"`     // so many a second at most, spread evenly; 0: one after the other
	Headers        map[string]string `json:"headers"`
	Contains       string            `json:"contains"` // what every connection's first body must have; "": anything
	Lacks          string            `json:"lacks"`    // what it must not have; "": nothing
}

// load is what all clients share.
type load struct {
	job
	config  *tls.Config
	limit   chan struct{} // nil without a limit
	mutex   sync.Mutex
	started time.Time
	result  result
	size    int64
}

func run([]string) error {
	shared := &load{}
	if err := json.NewDecoder(os.Stdin).Decode(&shared.job); err != nil {
		return fmt.Errorf("the job: %w", err)
	}
	ca, err := os.ReadFile(shared.CAFile)
	if err != nil {
		return err
	}
	shared.config = &tls.Config{RootCAs: x509.NewCertPool()}
	if !shared.config.RootCAs.AppendCertsFromPEM(ca) {
		return fmt.Errorf("%s has no certificate", shared.CAFile)
	}
	if shared.Requests > 0 {
		shared.limit = make(chan struct{}, shared.Requests)
		for range shared.Requests {
			shared.limit <- struct{}{}
		}
	}
	shared.measure()
	return json.NewEncoder(os.Stdout).Encode(shared.result.summary(time.Since(shared.started)))
}

// measure opens all connections with a request that is counted but not timed, and only then starts the clock.
func (l *load) measure() {
	clients := make([]*http.Client, 0, l.Connections)
	for range l.Connections {
		client := l.client()
		if !l.NewConnections {
			l.note(0, l.request(client, true), false)
		}
		for range max(1, l.Streams) {
			clients = append(clients, client)
		}
	}
	if l.NewConnections {
		l.note(0, l.request(l.client(), true), false)
	}
	l.started = time.Now()
	deadline := l.started.Add(time.Duration(l.Seconds * float64(time.Second)))
	var group sync.WaitGroup
	for number, client := range clients {
		group.Go(func() { l.loop(client, deadline, l.pace(number, len(clients))) })
	}
	group.Wait()
}

// pace makes what returns when a client's next turn has come: turns of all clients are spread evenly.
func (l *load) pace(number, clients int) func() {
	if l.Rate == 0 {
		return func() {}
	}
	turn := l.started.Add(time.Duration(float64(number) / l.Rate * float64(time.Second)))
	each := time.Duration(float64(clients) / l.Rate * float64(time.Second))
	return func() {
		time.Sleep(time.Until(turn))
		turn = turn.Add(each)
	}
}

func (l *load) loop(client *http.Client, deadline time.Time, pace func()) {
	for pace(); time.Now().Before(deadline) && l.more(); pace() {
		began := time.Now()
		if l.NewConnections {
			client = l.client()
		}
		err := l.request(client, false)
		l.note(time.Since(began), err, true)
		if l.NewConnections {
			client.CloseIdleConnections()
		}
		if err != nil {
			return
		}
	}
}

// more takes one from the limit of requests, if there is one.
func (l *load) more() bool {
	if l.limit == nil {
		return true
	}
	select {
	case <-l.limit:
		return true
	default:
		return false
	}
}

// client has one connection, which is made by its first request.
func (l *load) client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(l.HTTP2)
	transport := &http.Transport{
		TLSClientConfig:    l.config.Clone(),
		Protocols:          protocols,
		DisableCompression: true, // the header is ours, and a body is read as it comes
		MaxConnsPerHost:    1,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if l.Dial != "" {
				address = l.Dial
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	if l.Proxy != "" {
		transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(l.Proxy) }
	}
	return &http.Client{Transport: transport, Timeout: requestTimeout}
}

func (l *load) request(client *http.Client, first bool) error {
	request, err := http.NewRequest(http.MethodGet, l.URL, nil)
	if err != nil {
		return err
	}
	for name, value := range l.Headers {
		request.Header.Set(name, value)
	}
	l.sent()
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if first || response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		return l.check(response, body)
	}
	size, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return err
	}
	return l.checkSize(size, response.Header.Get("Content-Encoding"))
}
