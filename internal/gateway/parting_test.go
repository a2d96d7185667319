package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// later is a provider that answers once it is released, and says on cut when its request is not wanted any more.
type later struct {
	release, cut chan struct{}
}

func newLater() later { return later{make(chan struct{}), make(chan struct{})} }

// with gives the answer, which ends when the request does if it is a stream.
func (l later) with(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		defer close(l.cut)
		select {
		case <-l.release:
			answer(w, r)
			if w.Header().Get("Content-Type") == stream {
				<-r.Context().Done()
			}
		case <-r.Context().Done():
		}
	}
}

// left waits until the one request that is under way is not waited for.
func (s *stage) left() {
	s.t.Helper()
	s.eventually("an exchange that is not waited for", func() bool {
		s.streams.mu.Lock()
		defer s.streams.mu.Unlock()
		for x := range s.streams.open {
			if x.parting.left() != nil {
				return true
			}
		}
		return false
	})
}

func (l later) isCut(t *testing.T) {
	t.Helper()
	select {
	case <-l.cut:
	case <-time.After(patience):
		t.Error("the request at the provider goes on, though its agent has gone")
	}
}

// TestRequestWhoseAgentLeavesBeforeTheAnswerIsCounted: else an agent that never waits would cost what it likes.
func TestRequestWhoseAgentLeavesBeforeTheAnswerIsCounted(t *testing.T) {
	whole := strings.Repeat(" ", 1<<20) + `{"usage":{"input_tokens":7,"output_tokens":9}}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   [3]int64
	}{
		"a stream":    {pieces(200, stream, started), [3]int64{1, 125, 1}},
		"one in JSON": {says(200, json, whole), [3]int64{1, 7, 9}},
		"an error":    {says(400, json, `{"type":"error","usage":{"input_tokens":7,"output_tokens":0}}`), [3]int64{0, 7, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			provider := newLater()
			s := newStage(t, provider.with(c.answer))
			s.leaves()
			close(provider.release)
			s.uses(c.want)
			provider.isCut(t)
		})
	}
}

// leaves is an agent that asks, and goes when the provider has the question.
func (s *stage) leaves() {
	s.t.Helper()
	ctx, leave := context.WithCancel(s.t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if r, err := s.agent.Do(s.request(http.MethodPost, messages, "{}").WithContext(ctx)); err == nil {
			_ = r.Body.Close()
		}
	}()
	s.eventually("the request at the provider", func() bool { return len(s.upstream.requests()) == 1 })
	leave()
	<-gone
	s.left()
}

// TestAnswerInJSONIsCountedThoughTheAgentReadsNothingOfIt: it says at its end what it cost.
func TestAnswerInJSONIsCountedThoughTheAgentReadsNothingOfIt(t *testing.T) {
	s := newStage(t, says(200, json, `{"text":"`+strings.Repeat("word ", 1<<20)+`","usage":{"input_tokens":7,"output_tokens":9}}`))
	r, err := s.agent.Do(s.request(http.MethodPost, messages, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	s.uses([3]int64{1, 7, 9})
}

func TestI4RequestThatIsRevokedBeforeItsAnswerIsRefusedAndCounted(t *testing.T) {
	provider := newLater()
	s := newStage(t, provider.with(pieces(200, stream, started)))
	s.revokedTime = patience
	got := s.revokedBeforeItsAnswer()
	close(provider.release)
	s.refusedAs(<-got)
	s.uses([3]int64{1, 125, 1})
	provider.isCut(t)
}

// TestI4RevocationWithholdsTheRestOfAnAnswerInJSON, which is read on for its count.
func TestI4RevocationWithholdsTheRestOfAnAnswerInJSON(t *testing.T) {
	provider := newLater()
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		pieces(200, json, `[{"text":"before"},`)(w, r)
		provider.with(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"text":"after"},{"usage":{"input_tokens":7,"output_tokens":9}}]`)
		})(w, r)
	})
	s.revokedTime = patience
	open, err := s.agent.Do(s.request(http.MethodPost, messages, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.api.Delete(t.Context(), s.credential); err != nil {
		t.Fatal(err)
	}
	s.cutRevoked(t.Context(), true)
	close(provider.release)
	if got := s.read(open, nil); !got.cut || strings.Contains(got.body, "after") {
		t.Errorf("the agent got %q, cut: %t", got.body, got.cut)
	}
	s.uses([3]int64{1, 7, 9})
}

func TestI4RevocationEndsWhatGoesOnForItsCount(t *testing.T) {
	provider := newLater()
	s := newStage(t, provider.with(fine))
	s.goneTime, s.revokedTime = time.Hour, 50*time.Millisecond
	s.leaves()
	if err := s.api.Delete(t.Context(), s.credential); err != nil {
		t.Fatal(err)
	}
	s.cutRevoked(t.Context(), true)
	provider.isCut(t)
}

// TestAgentThatLeavesInTheMiddleOfItsRequestIsNoFaultOfTheProvider, however often.
func TestAgentThatLeavesInTheMiddleOfItsRequestIsNoFaultOfTheProvider(t *testing.T) {
	const times = 20
	s := newStage(t, fine)
	for n := range times {
		ctx, leave := context.WithCancel(t.Context())
		body, rest := io.Pipe()
		r := s.request(http.MethodPost, messages, "").WithContext(ctx)
		r.Body, r.ContentLength = body, -1
		go func() {
			defer rest.CloseWithError(context.Canceled)
			defer leave()
			_, _ = io.WriteString(rest, "{")
			for deadline := time.Now().Add(patience); len(s.upstream.requests()) <= n && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
		}()
		if answer, err := s.agent.Do(r); err == nil {
			_ = answer.Body.Close()
			t.Error("an unfinished request is answered")
		}
	}
	s.counts("requests_total{class=opencode,credential=shared,namespace=team-a,provider=anthropic,status=0,} 20")
	if metrics := s.metrics(); strings.Contains(metrics, "refusals_total") {
		t.Errorf("somebody is blamed:\n%s", metrics)
	}
}
