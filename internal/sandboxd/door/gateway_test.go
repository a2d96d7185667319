package door

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// checking is a gateway that knows one token.
func checking(valid *atomic.Value) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+valid.Load().(string) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		ok(w, r)
	}
}

func TestARotatedTokenIsTakenUp(t *testing.T) {
	var valid atomic.Value
	valid.Store("token-1")
	g := newGateway(t, checking(&valid))
	s := openDoor(t, g.contract())
	statuses := []int{}
	try := func(body io.Reader) {
		answer, _ := s.do(s.request(http.MethodPost, "/anthropic/x", body))
		statuses = append(statuses, answer.StatusCode)
	}
	try(strings.NewReader("{}"))
	s.setToken("token-2\n")
	valid.Store("token-2")
	try(strings.NewReader("{}")) // with the old one, and again with the new
	valid.Store("token-3")
	try(strings.NewReader("{}")) // the file has not changed, so there is nothing to try
	s.setToken("token-3")
	try(io.MultiReader(strings.NewReader("{}"))) // its length is unknown, so it cannot be sent again
	if diff := cmp.Diff([]int{200, 200, 401, 401}, statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if got := len(g.requests()); got != 5 {
		t.Errorf("%d requests reached the gateway", got)
	}
}

func TestATokenIsReadAgainAfterAWhile(t *testing.T) {
	s := &sandbox{t: t, tokenFile: t.TempDir() + "/token"}
	now := time.Unix(1_000_000, 0)
	tok := &token{path: s.tokenFile, now: func() time.Time { return now }}
	if _, err := tok.get(); err == nil || !strings.Contains(err.Error(), s.tokenFile) {
		t.Errorf("without a file: %v", err)
	}
	s.setToken("")
	if _, err := tok.get(); err == nil {
		t.Error("an empty file was taken")
	}
	s.setToken(canary + "\nX-Evil: 1")
	if _, err := tok.get(); err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("a broken file: %v", err)
	}
	steps := []struct {
		after time.Duration
		file  string
		want  string
	}{{0, "a", "a"}, {tokenAge - 1, "b", "a"}, {1, "b", "b"}, {tokenAge, "", "b"}, {tokenAge, "c", "c"}}
	for _, step := range steps {
		now = now.Add(step.after)
		s.setToken(step.file)
		if got, err := tok.get(); err != nil || got != step.want {
			t.Errorf("got %q, %v, want %q", got, err, step.want)
		}
	}
}

func TestAProvidersRefusalIsNotTriedAgain(t *testing.T) {
	g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(contract.HeaderFailureClass, r.URL.Query().Get("class"))
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(map[string]int{"ProviderUnavailable": 503, "ProviderAuthenticationFailed": 401}[r.URL.Query().Get("class")])
	})
	s := openDoor(t, g.contract())
	for _, class := range []string{"ProviderUnavailable", "ProviderAuthenticationFailed"} {
		before := len(g.requests())
		s.setToken("token-of-" + class)
		s.post("/anthropic/x?class="+class, "{}")
		if got := len(g.requests()) - before; got != 1 {
			t.Errorf("%s: %d requests", class, got)
		}
	}
}

func TestAGatewayThatCannotBeReached(t *testing.T) {
	g := newGateway(t, ok)
	other := newGateway(t, ok)
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(g.URL, "https://"))
	closed := listen(t)
	_ = closed.Close()
	cases := map[string]struct {
		gateway contract.Gateway
		message string
	}{
		"nobody listens":               {contract.Gateway{URL: "https://" + closed.Addr().String(), CABundle: g.contract().CABundle}, "connection refused"},
		"a name that it has not":       {contract.Gateway{URL: "https://localhost:" + port, CABundle: g.contract().CABundle}, "not localhost"},
		"a certificate of another's":   {contract.Gateway{URL: g.URL, CABundle: foreignCA}, "unknown authority"},
		"another server in its place ": {contract.Gateway{URL: "https://localhost:" + strings.Split(other.URL, ":")[2], CABundle: foreignCA}, "localhost"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := openDoor(t, c.gateway)
			for range 2 {
				answer, text := s.post("/anthropic/x", "{}")
				if answer.StatusCode != http.StatusBadGateway || !strings.Contains(errorIn(t, text), c.message) {
					t.Errorf("got %d %s, want %q in it", answer.StatusCode, text, c.message)
				}
			}
			f := s.LastFailure()
			if f == nil || f.Class != contract.ProviderUnavailable || !strings.HasPrefix(f.Message, "The gateway cannot be reached: ") {
				t.Errorf("the door remembers %+v", f)
			}
			if got := s.notes.all(); strings.Count(got, "\n") != 0 || !strings.Contains(got, c.message) {
				t.Errorf("the user is told %q", got)
			}
			if s.Accepted() != 0 {
				t.Error("nothing was accepted")
			}
		})
	}
	if len(g.requests()) != 0 {
		t.Errorf("a gateway that could not prove itself was sent %q", g.requests())
	}
}

// A request that was on its way may have cost something already, so it is for the agent to try it again.
func TestAGatewayThatComesBackIsUsed(t *testing.T) {
	g := newGateway(t, ok)
	s := openDoor(t, g.contract())
	s.post("/anthropic/x", "{}")
	g.CloseClientConnections()
	if answer, _ := s.post("/anthropic/x", "{}"); answer.StatusCode != http.StatusOK {
		answer, text := s.post("/anthropic/x", "{}")
		if answer.StatusCode != http.StatusOK {
			t.Errorf("the second try after its connections were cut: %d %s", answer.StatusCode, text)
		}
	}
	if s.Accepted() != 2 || s.LastFailure() != nil {
		t.Errorf("accepted %d, failed %+v", s.Accepted(), s.LastFailure())
	}
}

func TestABrokenConfigurationOpensNoDoor(t *testing.T) {
	bundle := newGateway(t, ok).contract().CABundle
	for name, g := range map[string]contract.Gateway{
		"http":               {URL: "http://gateway", CABundle: bundle},
		"a path":             {URL: "https://gateway/x", CABundle: bundle},
		"no host":            {URL: "https://", CABundle: bundle},
		"no address":         {URL: "https://a b", CABundle: bundle},
		"no certificate":     {URL: "https://gateway", CABundle: ""},
		"half a certificate": {URL: "https://gateway", CABundle: bundle[:100]},
	} {
		listener := listen(t)
		if d, err := Open(listener, Options{Gateway: g}); err == nil {
			d.Close()
			t.Errorf("%s: the door is open", name)
		}
		if _, err := listener.Accept(); err == nil {
			t.Errorf("%s: the listener is open", name)
		}
	}
}

// scripted answers by what the path asks for.
func scripted(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for name, key := range map[string]string{contract.HeaderFailureClass: "class", contract.HeaderFailureMessage: "message", "Retry-After": "after"} {
		if q.Has(key) {
			w.Header().Set(name, q.Get(key))
		}
	}
	switch q.Get("status") {
	case "429":
		w.WriteHeader(http.StatusTooManyRequests)
	case "400":
		w.WriteHeader(http.StatusBadRequest)
	}
}

func TestTheDoorRemembersHowRequestsFailed(t *testing.T) {
	const limited = "/anthropic/x?status=429&class=ProviderRateLimited&message=Slow+down&after=30"
	rateLimited := &failure.Failure{Class: contract.ProviderRateLimited, Message: "Slow down", RetryAfter: 30 * time.Second}
	cases := map[string]struct {
		targets  []string
		want     *failure.Failure
		accepted int64
	}{
		"nothing happened":                    {nil, nil, 0},
		"a success":                           {[]string{"/anthropic/x"}, nil, 1},
		"a failure":                           {[]string{limited}, rateLimited, 0},
		"a failure, and a success":            {[]string{limited, "/anthropic/x"}, nil, 1},
		"a success, and a failure":            {[]string{"/anthropic/x", limited}, rateLimited, 1},
		"another provider's success":          {[]string{limited, "/openai/x"}, rateLimited, 1},
		"another provider's failure is later": {[]string{limited, "/openai/x?status=400&class=ContextOverflow&message=Long"}, &failure.Failure{Class: contract.ContextOverflow, Message: "Long"}, 0},
		"the first of two comes again":        {[]string{limited, "/openai/x?status=400&class=ContextOverflow", limited}, rateLimited, 0},
		"a refusal that has no class":         {[]string{limited, "/anthropic/other?status=400"}, rateLimited, 0},
		"a class that is not a provider's":    {[]string{"/anthropic/x?status=400&class=Stopped&message=x"}, nil, 0},
		"a class that nobody knows":           {[]string{"/anthropic/x?status=400&class=Evicted&message=x"}, nil, 0},
		"a message of many lines":             {[]string{"/anthropic/x?status=400&class=ContextOverflow&message=a%09b++c"}, &failure.Failure{Class: contract.ContextOverflow, Message: "a b c"}, 0},
		"no message":                          {[]string{"/anthropic/x?status=400&class=ContextOverflow"}, &failure.Failure{Class: contract.ContextOverflow, Message: "A request to the provider failed with status 400"}, 0},
		"an endless message":                  {[]string{"/anthropic/x?status=400&class=ContextOverflow&message=" + strings.Repeat("x", 2000)}, &failure.Failure{Class: contract.ContextOverflow, Message: strings.Repeat("x", maxMessage-3) + "…"}, 0},
		"a time that is no time":              {[]string{"/anthropic/x?status=429&class=ProviderRateLimited&message=m&after=-1"}, &failure.Failure{Class: contract.ProviderRateLimited, Message: "m"}, 0},
		"a time that is too long":             {[]string{"/anthropic/x?status=429&class=ProviderRateLimited&message=m&after=2000000000"}, &failure.Failure{Class: contract.ProviderRateLimited, Message: "m", RetryAfter: maxRetryAfter}, 0},
		"a failure behind a good status":      {[]string{"/anthropic/x?class=ProviderUnavailable&message=m"}, &failure.Failure{Class: contract.ProviderUnavailable, Message: "m"}, 0},
	}
	g := newGateway(t, scripted)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := openDoor(t, g.contract())
			for _, target := range c.targets {
				s.post(target, "{}")
			}
			if diff := cmp.Diff(c.want, s.LastFailure()); diff != "" {
				t.Errorf("last failure (-want +got):\n%s", diff)
			}
			if s.Accepted() != c.accepted {
				t.Errorf("accepted %d, want %d", s.Accepted(), c.accepted)
			}
		})
	}
}

func TestAnAnswerThatIsCutOffIsAFailure(t *testing.T) {
	arrived := make(chan struct{})
	s := openDoor(t, newGateway(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n")
		w.(http.Flusher).Flush()
		<-arrived
		panic(http.ErrAbortHandler)
	}).contract())
	answer, err := http.DefaultClient.Do(s.request(http.MethodGet, "/anthropic/x", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.ReadFull(answer.Body, make([]byte, len("data: 1\n")))
	close(arrived)
	if _, err := io.ReadAll(answer.Body); err == nil {
		t.Error("the agent is not told")
	}
	f := s.LastFailure()
	if f == nil || f.Class != contract.ProviderUnavailable || !strings.HasPrefix(f.Message, "The provider's answer was cut off: ") {
		t.Errorf("the door remembers %+v", f)
	}
}

func TestAnAgentThatGoesAwayIsNoFailure(t *testing.T) {
	gone := make(chan struct{})
	g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: 1\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	s := openDoor(t, g.contract())
	ctx, cancel := context.WithCancel(t.Context())
	answer, err := http.DefaultClient.Do(s.request(http.MethodGet, "/anthropic/x", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = bufio.NewReader(answer.Body).ReadString('\n')
	cancel()
	_ = answer.Body.Close()
	<-gone
	if f := s.LastFailure(); f != nil || s.Accepted() != 1 {
		t.Errorf("failed %+v, accepted %d", f, s.Accepted())
	}
}
