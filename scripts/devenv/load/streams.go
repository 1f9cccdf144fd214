package main

import (
	"net/http"
	"strconv"
	"strings"
)

const logLine = "2026-11-20T10:00:00.000000000Z INFO request served method=GET path=/healthz status=200 duration=1.2ms\n"

// streams are the replies that last, by path.
var streams = map[string]func(http.ResponseWriter, *http.Request){
	"/api/v1/namespaces/default/events":                        watch,
	"/api/v1/namespaces/default/pods/web-7d9f8c6b5-00000/log": podLog,
}

// watch sends one event, and nothing more until the client goes.
func watch(writer http.ResponseWriter, request *http.Request) {
	writer.Header().Set("Content-Type", "application/json")
	_, _ = writer.Write([]byte(`{"type":"ADDED","object":{"kind":"Event","apiVersion":"v1","metadata":` +
		`{"name":"web","namespace":"default","resourceVersion":"7"},"involvedObject":{},"message":"started"}}` + "\n"))
	writer.(http.Flusher).Flush()
	<-request.Context().Done()
}

// podLog is at least as long as the client wants it.
func podLog(writer http.ResponseWriter, request *http.Request) {
	limit, _ := strconv.Atoi(request.URL.Query().Get("limitBytes"))
	writer.Header().Set("Content-Type", "text/plain")
	block := []byte(strings.Repeat(logLine, 32<<10/len(logLine)))
	for sent := 0; sent < limit; sent += len(block) {
		if _, err := writer.Write(block); err != nil {
			return
		}
	}
}
