package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// headerHold is on requests whose answers stop before their end until the benchmark releases them.
const headerHold = "X-Bench-Hold"

// endpoint is the scripted provider, at an address that the gateway may connect to.
type endpoint struct {
	*provider.Server
	host   string
	port   int32
	server *http.Server

	mu          sync.Mutex
	connections map[net.Conn]bool
	release     chan struct{}
}

// script is an answer as models stream it, in some forty events.
var script = provider.Script{Name: "bench", Turns: []provider.Turn{{Text: strings.Repeat("A few words of the answer. ", 20)}}}

func startProvider(ctx context.Context, host string, i *identity) (*endpoint, error) {
	pair, err := i.pair()
	if err != nil {
		return nil, err
	}
	scripted, err := provider.New(provider.Options{Scripts: []provider.Script{script}})
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("listen as provider: %w", err)
	}
	e := &endpoint{
		Server: scripted, host: host, port: int32(listener.Addr().(*net.TCPAddr).Port),
		connections: map[net.Conn]bool{}, release: make(chan struct{}),
	}
	e.server = &http.Server{
		Handler: e, ReadHeaderTimeout: time.Minute, ConnState: e.track, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}},
	}
	go func() { _ = e.server.ServeTLS(listener, "", "") }() // it ends with Close
	return e, nil
}

// ServeHTTP answers as the script says, and holds answers back that it is asked to.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(headerHold) != "" {
		w = &held{w, r.Context(), e.released()}
	}
	e.Server.ServeHTTP(w, r)
}

func (e *endpoint) released() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.release
}

// letGo releases the answers that are held back.
func (e *endpoint) letGo() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.release)
	e.release = make(chan struct{})
}

func (e *endpoint) track(c net.Conn, state http.ConnState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if state == http.StateClosed {
		delete(e.connections, c)
	} else {
		e.connections[c] = true
	}
}

// disconnect ends all connections.
func (e *endpoint) disconnect() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.connections {
		_ = c.Close() // its end is what is wanted
	}
}

// usage is what the provider counted for a key: requests, and tokens in and out.
func (e *endpoint) usage(ctx context.Context, key string) (usage, error) {
	answer := httptest.NewRecorder()
	e.Server.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/-/stats", http.NoBody))
	var stats provider.Stats
	if err := json.NewDecoder(answer.Body).Decode(&stats); err != nil {
		return usage{}, err
	}
	var u usage
	for _, m := range stats.Keys[provider.Fingerprint(key)].Models {
		u = u.plus(usage{int64(m.Requests), int64(m.InputTokens), int64(m.OutputTokens)})
	}
	return u, nil
}

// usage is requests and tokens.
type usage struct{ requests, input, output int64 }

func (u usage) plus(o usage) usage {
	return usage{u.requests + o.requests, u.input + o.input, u.output + o.output}
}

// held stops an answer before the event that ends its text.
type held struct {
	http.ResponseWriter
	ctx     context.Context
	release <-chan struct{}
}

func (h *held) Write(event []byte) (int, error) {
	if bytes.HasPrefix(event, []byte("event: message_delta")) {
		select {
		case <-h.release:
		case <-h.ctx.Done():
			return 0, h.ctx.Err()
		}
	}
	return h.ResponseWriter.Write(event)
}

// Unwrap lets http.ResponseController flush.
func (h *held) Unwrap() http.ResponseWriter { return h.ResponseWriter }
