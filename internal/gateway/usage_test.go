package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/meter"
)

// stored fails unless the status of the Session says these requests, input and output tokens.
func (s *stage) stored(want [3]int64) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.status()); diff != "" {
		s.t.Errorf("usage in the status (-want +got):\n%s", diff)
	}
}

func (s *stage) status() [3]int64 {
	s.t.Helper()
	session := &v1alpha1.Session{}
	if err := s.api.Get(s.t.Context(), client.ObjectKeyFromObject(s.session), session); err != nil {
		s.t.Fatal(err)
	}
	u := session.Status.Usage
	if u == nil {
		return [3]int64{}
	}
	return [3]int64{*u.Requests, *u.InputTokens, *u.OutputTokens}
}

func (s *stage) uses(want [3]int64) {
	s.t.Helper()
	var got [3]int64
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if err := s.Ledger.Flush(s.t.Context(), s.session.UID, uuid.NewUUID()); err != nil {
			s.t.Fatal(err)
		}
		if got = s.status(); got == want {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("used (-want +got):\n%s", cmp.Diff(want, got))
		}
	}
}

func event(kind, data string) string { return "event: " + kind + "\ndata: " + data + "\n\n" }

var (
	started  = event("message_start", `{"type":"message_start","message":{"usage":{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":1}}}`)
	word     = event("content_block_delta", `{"type":"content_block_delta","delta":{"text":"\"usage\":{\"output_tokens\":999}"}}`)
	finished = event("message_delta", `{"type":"message_delta","usage":{"output_tokens":15}}`)
)

func TestEachTokenIsCounted(t *testing.T) {
	openAI := func(o *objects) { o.provider.Spec.Usage = v1alpha1.UsageFormatOpenAI }
	plain := func(*objects) {}
	cases := map[string]struct {
		answer http.HandlerFunc
		change func(*objects)
		want   [3]int64
	}{
		"an answer in JSON":     {says(200, json, `{"content":[],"usage":{"input_tokens":7,"output_tokens":9}}`), plain, [3]int64{1, 7, 9}},
		"a stream":              {pieces(200, stream, started, word, word, finished), plain, [3]int64{1, 125, 15}},
		"a stream in bytes":     {pieces(200, stream, strings.Split(started+finished, "")...), plain, [3]int64{1, 125, 15}},
		"a stream of OpenAI":    {pieces(200, stream, "data: {\"usage\":null}\n\n", "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n", "data: [DONE]\n\n"), openAI, [3]int64{1, 3, 4}},
		"an error":              {says(429, json, `{"type":"error","error":{}}`), plain, [3]int64{0, 0, 0}},
		"an error with usage":   {says(400, json, `{"usage":{"input_tokens":7,"output_tokens":0}}`), plain, [3]int64{0, 7, 0}},
		"a redirect":            {inHeader(302, "Location", "/"), plain, [3]int64{0, 0, 0}},
		"an answer with a key":  {pieces(200, stream, started, canary), plain, [3]int64{1, 125, 1}},
		"an unknown format":     {says(200, json, `{"usage":{"input_tokens":7,"output_tokens":9}}`), func(o *objects) { o.provider.Spec.Usage = "" }, [3]int64{1, 0, 0}},
		"a stream that is cut":  {dropped(started + word), plain, [3]int64{1, 125, 1}},
		"a long stream, cut":    {dropped(started + strings.Repeat(word, 5000) + finished), plain, [3]int64{1, 125, 15}},
		"an answer of nonsense": {says(200, json, `{"usage":{"input_tokens":-7,"output_tokens":1e99}}`), plain, [3]int64{1, 0, 1 << 40}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.answer, c.change)
			s.post("")
			s.uses(c.want)
		})
	}
}

// dropped is a stream that its provider drops.
func dropped(text string) http.HandlerFunc {
	return hijacked("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(text), text))
}

func TestAStreamThatTheAgentCutsIsCountedAsFarAsItCame(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		pieces(200, stream, started, word)(w, r)
		<-r.Context().Done()
	})
	r, err := s.agent.Do(s.request(http.MethodPost, messages, ""))
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(r.Body)
	for range 5 { // up to the second event
		if _, err := reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	_ = r.Body.Close()
	s.uses([3]int64{1, 125, 1})
}

func TestAnAnswerIsCountedOnceHoweverItEnds(t *testing.T) {
	const body = `{"usage":{"input_tokens":7,"output_tokens":9}} and more`
	cases := map[string]func(io.ReadCloser){
		"it is read":               func(r io.ReadCloser) { _, _ = io.ReadAll(r); _ = r.Close() },
		"nobody wants the rest":    func(r io.ReadCloser) { _, _ = io.ReadFull(r, make([]byte, len(body)-5)); _ = r.Close(); _ = r.Close() },
		"nobody wants any of it":   func(r io.ReadCloser) { _ = r.Close() },
		"its end is read for ever": func(r io.ReadCloser) { _, _ = io.ReadAll(r); _, _ = io.ReadAll(r) },
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			var usages []meter.Usage
			end(&counted{
				ReadCloser: io.NopCloser(strings.NewReader(body)), answer: &http.Response{}, meter: meter.New(meter.AnthropicMessages, json),
				parting: &parting{}, done: func(u meter.Usage) { usages = append(usages, u) },
			})
			if len(usages) != 1 || usages[0].Input != 7 {
				t.Errorf("counted %v", usages)
			}
		})
	}
}

func TestAHundredAgentsAreCountedExactly(t *testing.T) {
	s := newStage(t, pieces(200, stream, started, word, finished))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 5 {
				r, err := s.agent.Do(s.request(http.MethodPost, messages, "{}"))
				if err != nil {
					t.Error(err)
					return
				}
				if text, err := io.ReadAll(r.Body); err != nil || string(text) != started+word+finished {
					t.Errorf("%q, %v", text, err)
				}
				_ = r.Body.Close()
			}
		})
	}
	all.Wait()
	s.uses([3]int64{100, 12500, 1500})
	s.counts("tokens_total{class=opencode,credential=shared,direction=input,namespace=team-a,provider=anthropic,} 12500")
	s.counts("tokens_total{class=opencode,credential=shared,direction=output,namespace=team-a,provider=anthropic,} 1500")
}

func TestTheEndOfARunIsWritten(t *testing.T) {
	s := newStage(t, says(200, json, `{"usage":{"input_tokens":7,"output_tokens":9}}`))
	s.post("")
	s.counts("requests_total{class=opencode,credential=shared,namespace=team-a,provider=anthropic,status=200,} 1")
	if a := s.do(s.request(http.MethodPost, contract.GatewayReport, `{"claims":"anything"}`)); a.StatusCode != http.StatusNoContent {
		t.Fatalf("%s: %s", a.Status, a.body)
	}
	s.stored([3]int64{1, 7, 9})
	if a := s.do(s.request(http.MethodPost, contract.GatewayHeartbeat, "")); a.StatusCode != http.StatusNoContent {
		t.Errorf("heartbeat: %s", a.Status)
	}
}
