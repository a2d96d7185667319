// Package meter reads from an answer, as it streams by, how many tokens the provider says it used. It keeps no more of an answer than the few
// hundred bytes that say so, however long its lines and bodies are, and it never holds an answer up or fails.
package meter

import (
	"mime"
	"sync"
)

// Format is how a provider says what an answer used.
type Format string

// The formats, in streams of server-sent events and in plain JSON.
const (
	// AnthropicMessages is the Messages API: "usage", and in streams "usage" of message_delta and "message.usage" of message_start.
	AnthropicMessages Format = "AnthropicMessages"
	// OpenAI is Chat Completions and Responses: "usage", and in streams "usage" of the last chunk or "response.usage" of the last event.
	OpenAI Format = "OpenAI"
	// Gemini is generateContent and streamGenerateContent, as events or as a JSON array: "usageMetadata".
	Gemini Format = "Gemini"
)

// Usage is what one answer used, in tokens. All of it is what the provider said: numbers below zero count as zero, and those above a trillion
// as a trillion.
type Usage struct {
	// Input is all that went in, read from a cache, written to one, or neither. (OpenAI and Google count like that; Anthropic's input_tokens are
	// the uncached rest only, so its three numbers are added.)
	Input int64
	// Output is all that came out, thoughts included.
	Output int64
	// CacheRead is the part of Input that was read from a cache.
	CacheRead int64
	// CacheWrite is the part of Input that was written to a cache, where the provider says so.
	CacheWrite int64
	// Known is true once the provider has said anything of usage: only then are zeros more than silence.
	Known bool
	// Skipped is how often something in the place of usage could not be read: it was too long, or no JSON.
	Skipped int64
}

// Meter reads one answer. Its methods may be called from several goroutines.
type Meter struct {
	mu      sync.Mutex
	feed    func([]byte)
	format  Format
	counts  counts
	known   bool
	skipped int64
	atEnd   bool
}

// New is a Meter for an answer with a body of contentType: events, or else JSON. With a format that it does not know, it reads nothing.
func New(format Format, contentType string) *Meter {
	m := &Meter{format: format, feed: func([]byte) {}}
	path, ok := paths[format]
	if !ok {
		return m
	}
	scan := &scanner{path: path, leaf: []byte(path.leaf), found: m.found, lost: m.lost}
	m.feed, m.atEnd = scan.feed, true
	if kind, _, err := mime.ParseMediaType(contentType); err == nil && kind == "text/event-stream" {
		m.feed, m.atEnd = (&events{scan: scan}).feed, false
	}
	return m
}

// AtEnd is true for an answer that says what it used at its end only: one in JSON, which comes at once when the model has finished.
func (m *Meter) AtEnd() bool { return m.atEnd }

// Write takes the next bytes of the answer. It always takes all of them.
func (m *Meter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.feed(p)
	return len(p), nil
}

// Usage is what the answer has said so far. Providers count up within an answer, so of a stream that was cut it is the last that was said.
func (m *Meter) Usage() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.counts.usage(m.format)
	u.Known, u.Skipped = m.known, m.skipped
	return u
}

func (m *Meter) found(object []byte) {
	c, ok := readers[m.format](object)
	if !ok {
		m.lost()
		return
	}
	m.known = true
	m.counts = m.counts.upTo(c)
}

func (m *Meter) lost() { m.skipped++ }
