// Package duplex lets servers answer a request before all of it has come, as models and their limits do.
package duplex

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// Allow is a request and its answer, which may begin before the request's body has come (https://pkg.go.dev/net/http#ResponseController.EnableFullDuplex; without
// that, net/http drops what is still to come). The connection then ends with the answer: net/http, up to Go 1.26, would read what is left of the body as the next
// request, or have two readers at once, which ends the process. The body has come whole once reading it has said so. The request given is not changed, as
// net/http looks at its body again.
func Allow(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return w, r
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // where that cannot be, answers wait for requests
	b := &body{ReadCloser: r.Body}
	r = r.WithContext(r.Context())
	r.Body = b
	return &writer{ResponseWriter: w, body: b}, r
}

// body knows whether all of it has come.
type body struct {
	io.ReadCloser
	whole atomic.Bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.whole.Store(true)
	}
	return n, err
}

// writer ends the connection with an answer that begins too early.
type writer struct {
	http.ResponseWriter
	body  *body
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if final := status >= http.StatusOK; final && !w.begun {
		w.begun = true
		if !w.body.whole.Load() {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController flush and hijack.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
