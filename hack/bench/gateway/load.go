package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandkeep/sandkeep/hack/bench/figure"
)

// agent asks as sandboxd does: with the token of its pod, on connections of its own.
type agent struct {
	transport *http.Transport
	token     string
}

func newAgent(token string, from net.IP, roots *x509.CertPool) agent {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return agent{token: token, transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}, Protocols: protocols, DisableCompression: true,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext,
	}}
}

// question is a request of some 16 KiB: agents send all of the conversation each time.
var question = fmt.Sprintf(`{"model":"claude-sonnet-4-5","max_tokens":1024,"stream":true,"messages":[{"role":"user","content":"[[script:bench]]"},`+
	`{"role":"assistant","content":%q}]}`, strings.Repeat("What was said before. ", 750))

// lastEvent ends each answer that is whole.
const lastEvent = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

// took is how long a request took.
type took struct{ firstByte, whole time.Duration }

// ask makes one request, and reads the stream to its end.
func (a agent) ask(ctx context.Context, url string) (took, error) {
	began := time.Now()
	body, err := a.open(ctx, url, false)
	if err != nil {
		return took{}, err
	}
	defer func() { _ = body.Close() }()
	var text bytes.Buffer
	if _, err := io.CopyN(&text, body, 1); err != nil {
		return took{}, fmt.Errorf("read the beginning of a stream: %w", err)
	}
	t := took{firstByte: time.Since(began)}
	err = whole(&text, body)
	t.whole = time.Since(began)
	return t, err
}

// open begins a stream, which stops before its end where it is held.
func (a agent) open(ctx context.Context, url string, hold bool) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(question))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Anthropic-Version", "2023-06-01")
	if hold {
		r.Header.Set(headerHold, "true")
	}
	answer, err := a.transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(answer.Body, 1024))
		return nil, errors.Join(fmt.Errorf("a request was answered with %s: %s", answer.Status, text), err, answer.Body.Close())
	}
	return answer.Body, nil
}

// whole reads the rest of a stream, and makes sure that it has come to it.
func whole(all *bytes.Buffer, rest io.Reader) error {
	if _, err := all.ReadFrom(rest); err != nil {
		return fmt.Errorf("read a stream: %w", err)
	}
	if !bytes.HasPrefix(all.Bytes(), []byte("event: message_start\n")) || !bytes.HasSuffix(all.Bytes(), []byte(lastEvent)) {
		return fmt.Errorf("a stream of %d bytes is not whole", all.Len())
	}
	return nil
}

// inTurns does some work through both ways, one after the other, again and again: whatever else the machine does meets both.
func (b *bench) inTurns(do func(*front) error) error {
	for round := range b.rounds {
		order := []*front{b.gateway, b.bare}
		if round%2 == 1 {
			order[0], order[1] = order[1], order[0]
		}
		for _, f := range order {
			if err := do(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureLatency makes one request at a time, from one sandbox after the other.
func (b *bench) measureLatency(ctx context.Context, _ io.Writer) error {
	times := map[*front][]took{}
	few := b.agents[:min(len(b.agents), b.clients)]
	for _, a := range few { // connections are not what is measured
		for _, f := range []*front{b.gateway, b.bare} {
			if _, err := a.ask(ctx, f.url); err != nil {
				return err
			}
		}
	}
	err := b.inTurns(func(f *front) error {
		for i := range b.requests / b.rounds {
			t, err := few[i%len(few)].ask(ctx, f.url)
			if err != nil {
				return err
			}
			times[f] = append(times[f], t)
		}
		return nil
	})
	b.report.Gateway.addTimes(times[b.gateway])
	b.report.Bare.addTimes(times[b.bare])
	return err
}

// measureThroughput lets sandboxes ask as fast as they are answered.
func (b *bench) measureThroughput(ctx context.Context, _ io.Writer) error {
	counts, used, each := map[*front]int64{}, map[*front]time.Duration{}, b.span/time.Duration(b.rounds)
	work := func() error {
		return b.inTurns(func(f *front) error {
			before, err := f.CPU(ctx)
			if err != nil {
				return err
			}
			n, err := b.flood(ctx, f.url, each)
			after, cpuErr := f.CPU(ctx)
			counts[f], used[f] = counts[f]+n, used[f]+after-before
			return errors.Join(err, cpuErr)
		})
	}
	err := b.gateway.Profiled(ctx, b.profiles, work)
	for f, into := range map[*front]*figures{b.gateway: &b.report.Gateway, b.bare: &b.report.Bare} {
		into.PerSecond = float64(counts[f]) / (each.Seconds() * float64(b.rounds))
		into.CPU = figure.Milliseconds(used[f]) / float64(counts[f])
	}
	return err
}

// flood is how many requests are answered in a time.
func (b *bench) flood(ctx context.Context, url string, span time.Duration) (int64, error) {
	var asking sync.WaitGroup
	var answered atomic.Int64
	errs := make([]error, b.clients)
	until := time.Now().Add(span)
	for i := range b.clients {
		asking.Go(func() {
			for time.Now().Before(until) && errs[i] == nil {
				if _, errs[i] = b.agents[i].ask(ctx, url); errs[i] == nil {
					answered.Add(1)
				}
			}
		})
	}
	asking.Wait()
	return answered.Load(), firstOf(errs)
}
