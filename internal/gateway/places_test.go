package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// unended is a request whose body has begun and goes on when the agent wants; what it returns is written next.
func (s *stage) unended(path string) (*http.Request, *io.PipeWriter) {
	s.t.Helper()
	body, more := io.Pipe()
	r := s.request(http.MethodPost, path, "")
	r.Body, r.ContentLength, r.GetBody = body, -1, nil
	s.t.Cleanup(func() { _ = more.Close() })
	go func() { _, _ = io.WriteString(more, "{") }()
	return r, more
}

func TestASandboxCannotHaveAnyNumberOfRequestsUnderWay(t *testing.T) {
	s := newStage(t, fine)
	var bodies []*io.PipeWriter
	ended := make(chan int, maxUnderWay)
	for range maxUnderWay {
		r, body := s.unended(messages)
		bodies = append(bodies, body)
		go func() {
			answer, err := s.agent.Do(r)
			if err != nil {
				ended <- 0
				return
			}
			_ = answer.Body.Close()
			ended <- answer.StatusCode
		}()
	}
	s.eventually("the requests at the provider", func() bool { return len(s.upstream.requests()) == maxUnderWay })
	got := s.post("")
	if got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") == "" || !strings.Contains(got.body, `"type":"rate_limit_error"`) ||
		got.Header.Get(contract.HeaderFailureClass) != string(contract.ProviderRateLimited) {
		t.Errorf("one more: %s %v %s", got.Status, got.Header, got.body)
	}
	s.counts("refusals_total{class=opencode,namespace=" + s.session.Namespace + ",provider=anthropic,reason=TooManyRequests,} 1")
	for _, path := range ownPaths[:2] {
		if got := s.do(s.request(http.MethodPost, path, "")); got.StatusCode != http.StatusNoContent {
			t.Errorf("%s, which is not the agent's: %s", path, got.Status)
		}
	}
	for _, body := range bodies {
		_ = body.Close()
	}
	for range bodies {
		if status := <-ended; status != http.StatusOK {
			t.Errorf("one of those under way: %d", status)
		}
	}
	s.eventually("room for another", func() bool { return s.post("").StatusCode == http.StatusOK })
}

func TestSandboxesTakeNoPlacesFromEachOther(t *testing.T) {
	p := &places{}
	var leave func()
	for range maxUnderWay {
		leave, _ = p.take(place{pod: "greedy"})
	}
	for pod, want := range map[types.UID]bool{"greedy": false, "modest": true} {
		if _, ok := p.take(place{pod: pod}); ok != want {
			t.Errorf("%s has a place: %t", pod, ok)
		}
	}
	leave()
	if _, ok := p.take(place{pod: "greedy"}); !ok {
		t.Error("a place that was left is not given again")
	}
}

// impatient is a gateway that waits a moment for bodies.
func impatient(t *testing.T, provider http.HandlerFunc, idle time.Duration) *stage {
	s := newStage(t, provider)
	s.bodyTime = idle
	front := httptest.NewTLSServer(s.Server)
	s.front, s.agent = front.URL, front.Client()
	t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
	return s
}

func TestABodyThatDoesNotComeIsGivenUp(t *testing.T) {
	s := impatient(t, fine, 50*time.Millisecond)
	r, _ := s.unended(messages)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got := s.do(r.WithContext(ctx)); got.StatusCode != http.StatusRequestTimeout || !strings.Contains(got.body, "The rest of the request does not come") {
		t.Errorf("got %s %s", got.Status, got.body)
	}
	s.counts("refusals_total{class=opencode,namespace=" + s.session.Namespace + ",provider=anthropic,reason=Stalled,} 1")
	s.eventually("the place", func() bool {
		s.places.mu.Lock()
		defer s.places.mu.Unlock()
		return len(s.places.taken) == 0
	})
}

func TestASlowBodyAndASlowAnswerAreWaitedFor(t *testing.T) {
	const idle = 400 * time.Millisecond
	slow := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(4 * idle) // takes nothing in
		text, _ := io.ReadAll(r.Body)
		time.Sleep(2 * idle) // answers nothing
		w.Header().Set("Content-Type", json)
		_, _ = fmt.Fprintf(w, `{"length":%d}`, len(text))
	}
	piece := strings.Repeat(" ", 2<<20) // more than fits into buffers on the way, all in all
	s := impatient(t, slow, idle)
	r, body := s.unended(messages)
	go func() {
		for range 8 { // longer than idle, all in all
			time.Sleep(idle / 4)
			_, _ = io.WriteString(body, piece)
		}
		_ = body.Close()
	}()
	if got := s.do(r); got.StatusCode != http.StatusOK || got.body != fmt.Sprintf(`{"length":%d}`, 1+8*len(piece)) {
		t.Errorf("got %s %s", got.Status, got.body)
	}
}

func TestAnAnswerMayBeginBeforeTheEndOfTheRequest(t *testing.T) {
	duplex := func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		w.Header().Set("Content-Type", stream)
		lines := bufio.NewReader(r.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, line)
			_ = c.Flush()
		}
	}
	s := impatient(t, duplex, patience)
	r, body := s.unended(messages)
	go func() { _, _ = io.WriteString(body, "\n") }()
	answer, err := s.agent.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewReader(answer.Body)
	for _, want := range []string{"{\n", "second\n", "third\n"} {
		if got, err := lines.ReadString('\n'); got != want {
			t.Fatalf("got %q, %v", got, err)
		}
		go func() { _, _ = io.WriteString(body, map[string]string{"{\n": "second\n", "second\n": "third\n"}[want]) }()
	}
}

func TestWhoIsAnsweredCannotHoldTheConnectionByABody(t *testing.T) {
	early := func(w http.ResponseWriter, _ *http.Request) { // a provider that does not wait for the body
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "{}")
		_ = c.Flush()
	}
	much := strings.Repeat("x", 8<<10) // enough to be sent on
	for name, c := range map[string]struct{ path, begin string }{
		"no such path, a body of a length":           {"/v1alpha1/nothing", "Content-Length: 10\r\n\r\n"},
		"no such path, a body in chunks":             {"/v1alpha1/nothing", "Transfer-Encoding: chunked\r\n\r\n"},
		"no such path, the beginning of a body":      {"/v1alpha1/nothing", "Content-Length: 10\r\n\r\n{"},
		"a quick provider, a body of a length":       {messages, "Content-Length: 10000\r\n\r\n" + much},
		"a quick provider, a body in chunks":         {messages, "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
		"a report, which nobody reads, of a length":  {contract.GatewayReport, "Content-Length: 10\r\n\r\n"},
		"a question for a key that stops":            {contract.GatewayKey, "Content-Length: 100\r\n\r\n{"},
		"a question for a key that stops, in chunks": {contract.GatewayKey, "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"},
		"a request that stops":                       {contract.GatewayProviders + "anthropic/v1/messages/count_tokens", "Content-Length: 100\r\n\r\n{"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, early)
			s.bodyTime = 200 * time.Millisecond
			front := httptest.NewUnstartedServer(s.Server)
			done := make(chan struct{}, 10)
			front.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateIdle || state == http.StateClosed {
					done <- struct{}{}
				}
			}
			front.Start()
			t.Cleanup(front.Close)
			conn, err := net.Dial("tcp", front.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, "POST "+c.path+" HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer "+podToken+"\r\n"+c.begin)
			if text, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(text, "HTTP/1.1 ") {
				t.Errorf("got %q, %v", text, err)
			}
			select {
			case <-done:
			case <-time.After(patience):
				t.Error("the gateway still waits for the body")
			}
		})
	}
}
