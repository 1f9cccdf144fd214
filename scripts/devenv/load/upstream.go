package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
)

const eksToken = "Bearer k8s-aws-v1."

// count is what reached one path. Bearer tokens are told apart by their form; none is checked.
type count struct {
	Requests  int `json:"requests"`
	EKSTokens int `json:"eks_tokens"`
	NoTokens  int `json:"no_tokens"`
}

type server struct {
	answers map[string]answer
	mutex   sync.Mutex
	counts  map[string]count
}

// upstream serves until it is killed. Its control port answers every request with the counts since the last one.
func upstream(args []string) error {
	flags := flag.NewFlagSet("upstream", flag.ExitOnError)
	certificate := flags.String("certificate", "", "server certificate, PEM")
	key := flags.String("key", "", "its key, PEM")
	port := flags.Int("port", 0, "HTTPS port on 127.0.0.1")
	control := flags.Int("control", 0, "port of the counts, plain HTTP on 127.0.0.1")
	_ = flags.Parse(args)
	served := &server{answers: answers(), counts: map[string]count{}}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *control))
	if err != nil {
		return err
	}
	go func() { log.Fatal(http.Serve(listener, http.HandlerFunc(served.control))) }()
	https := &http.Server{
		Addr:    fmt.Sprintf("127.0.0.1:%d", *port),
		Handler: served,
		HTTP2:   &http.HTTP2Config{MaxConcurrentStreams: 100}, // as the API server's
	}
	return https.ListenAndServeTLS(*certificate, *key)
}

func (s *server) control(writer http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	counts := s.counts
	s.counts = map[string]count{}
	s.mutex.Unlock()
	_ = json.NewEncoder(writer).Encode(counts)
}

func (s *server) note(request *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	count := s.counts[request.URL.Path]
	count.Requests++
	switch token := request.Header.Get("Authorization"); {
	case token == "":
		count.NoTokens++
	case strings.HasPrefix(token, eksToken):
		count.EKSTokens++
	}
	s.counts[request.URL.Path] = count
}

func (s *server) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	s.note(request)
	header := writer.Header()
	header.Set("Audit-Id", auditID(request))
	header.Set("Cache-Control", "no-cache, private")
	header.Set("X-Kubernetes-Pf-Flowschema-Uid", "3d4c62be-4226-4a95-8e9c-72eab2639c5b")
	header.Set("X-Kubernetes-Pf-Prioritylevel-Uid", "a97ae208-6c5b-4139-85b4-244772051b96")
	if stream := streams[request.URL.Path]; stream != nil && request.Method == http.MethodGet {
		stream(writer, request)
		return
	}
	answer, known := s.find(request)
	if request.Method != http.MethodGet || !known {
		header.Set("Content-Type", "application/json")
		writer.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(writer, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",`+
			`"message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}`)
		return
	}
	header.Set("Content-Type", answer.contentType)
	if answer.compressed != nil && strings.Contains(request.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		header.Set("Vary", "Accept-Encoding")
		_, _ = writer.Write(answer.compressed)
		return
	}
	for _, part := range answer.parts {
		_, _ = writer.Write(part)
	}
}

// find takes the first media type that is accepted as the only one, which is what kubectl means.
func (s *server) find(request *http.Request) (answer, bool) {
	first, _, _ := strings.Cut(request.Header.Get("Accept"), ",")
	if strings.Contains(first, "as=Table") {
		if found, known := s.answers[request.URL.Path+" table"]; known {
			return found, true
		}
	}
	found, known := s.answers[request.URL.Path]
	return found, known
}

// auditID is the caller's, as a gateway in front of the API server sets it, or a new one.
func auditID(request *http.Request) string {
	if id := request.Header.Get("Audit-Id"); id != "" {
		return id
	}
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", rand.Uint32(), rand.Uint64()>>16)
}
