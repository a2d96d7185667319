package sandboxd_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// gateway stands in for Sandkeep's, with one provider behind it that answers as the path asks.
type gateway struct {
	*httptest.Server
	refuseReport bool
	// handOut answers requests for keys.
	handOut func(asked contract.KeyRequest, w http.ResponseWriter)

	mu   sync.Mutex
	seen []string
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{}
	g.Server = httptest.NewTLSServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	g.seen = append(g.seen, fmt.Sprintf("%s %s %s", r.Header.Get("Authorization"), r.URL.Path, body))
	g.mu.Unlock()
	switch {
	case r.URL.Path == contract.GatewayReport && g.refuseReport:
		w.WriteHeader(http.StatusInternalServerError)
	case r.URL.Path == contract.GatewayKey:
		var asked contract.KeyRequest
		_ = json.Unmarshal(body, &asked)
		g.handOut(asked, w)
	case !strings.HasPrefix(r.URL.Path, contract.GatewayProviders):
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(r.URL.Path, "/limited"):
		w.Header().Set(contract.HeaderFailureClass, string(contract.ProviderRateLimited))
		w.Header().Set(contract.HeaderFailureMessage, "The provider allows 5 requests a minute")
		w.Header().Set("Retry-After", "40")
		w.WriteHeader(http.StatusTooManyRequests)
	case strings.HasSuffix(r.URL.Path, "/refused"):
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, "hello from the model")
	}
}

// requests are those whose path has the given part.
func (g *gateway) requests(path string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.seen), func(r string) bool { return !strings.Contains(r, path) })
}

// behind puts the sandbox behind a gateway that has the key of the provider acme.
func (s *sandbox) behind(g *gateway) *sandbox {
	s.t.Helper()
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw})
	s.config.Gateway = &contract.Gateway{URL: g.URL, CABundle: string(bundle)}
	s.config.Credentials = []contract.Credential{{
		Provider: "acme", Delivery: contract.DeliveryProxy, BaseURL: "https://api.acme.example",
		Env: []contract.EnvVar{{Name: "API_KEY", Value: "$(API_KEY)"}, {Name: "ACME", Value: "$(BASE_URL)/v1"}},
	}}
	must(s.t, os.MkdirAll(s.dirs.Gateway, 0o755))
	must(s.t, os.WriteFile(filepath.Join(s.dirs.Gateway, contract.GatewayTokenFile), []byte("pod-token"), 0o600))
	return s
}

func TestAnAgentWorksThroughTheGateway(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s := newSandbox(t, "acp", "sayenv API_KEY\nask $ACME/messages").behind(g)
	r := s.run()
	wantSuccess(t, r)
	if want := "API_KEY=sandkeep-placeholder\n200 hello from the model"; r.Summary != want {
		t.Errorf("summary %q, want %q", r.Summary, want)
	}
	if want := []string{"Bearer pod-token /v1alpha1/providers/acme/v1/messages {}"}; !slices.Equal(g.requests("/providers/"), want) {
		t.Errorf("at the gateway %q", g.requests("/providers/"))
	}
	message, err := os.ReadFile(s.dirs.TerminationLog)
	must(t, err)
	if want := []string{"Bearer pod-token /v1alpha1/session/report " + string(message)}; !slices.Equal(g.requests("/report"), want) {
		t.Errorf("reported %q, want %q", g.requests("/report"), want)
	}
	if len(g.requests("/heartbeat")) != 1 {
		t.Errorf("heartbeats %q", g.requests("/heartbeat"))
	}
	for _, place := range []string{s.out.String(), string(message)} {
		if strings.Contains(place, "pod-token") {
			t.Errorf("the token shows in %q", place)
		}
	}
}

func TestTheGatewayKnowsWhyAnAgentFailed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind, prompt string
		class        contract.FailureClass
		retry        int64
		words        []string
	}{
		"an agent that swallows the error":      {"text", "quietly $ACME/limited\nexit 1", contract.ProviderRateLimited, 40, []string{"allows 5 requests a minute", "exit code 1"}},
		"an agent that is silent about it":      {"acp", "quietly $ACME/limited", contract.ProviderRateLimited, 40, []string{"allows 5 requests a minute", "without an answer"}},
		"an agent that takes it for success":    {"acp", "ask $ACME/limited", contract.ProviderRateLimited, 40, []string{"allows 5 requests a minute", "no provider has accepted"}},
		"an agent that names it itself":         {"text", "quietly $ACME/limited\nstderr rate_limit_error\nexit 1", contract.ProviderRateLimited, 40, []string{"rate_limit_error"}},
		"an agent that repeats it":              {"text", "quietly $ACME/limited\nstderr The provider allows 5 requests a minute\nexit 1", contract.ProviderRateLimited, 40, []string{"allows 5 requests a minute"}},
		"an agent that fails of something else": {"text", "quietly $ACME/limited\nstderr prompt is too long\nexit 1", contract.ContextOverflow, 0, []string{"prompt is too long"}},
		"an agent that got over it":             {"text", "quietly $ACME/limited\nquietly $ACME/messages\nexit 1", contract.AgentCrashed, 0, []string{"exit code 1"}},
		"an agent that asked nobody":            {"acp", "say All done", contract.AgentSilent, 0, []string{"no provider has accepted a request"}},
		"an agent that only asked amiss":        {"acp", "ask $ACME/refused", contract.AgentSilent, 0, []string{"no provider has accepted a request"}},
		"an answer that nobody speaks of":       {"acp", "quietly $ACME/messages", contract.AgentSilent, 0, []string{"without an answer"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newSandbox(t, tt.kind, tt.prompt).behind(newGateway(t)).run()
			wantFailure(t, r, tt.class, tt.words...)
			if n := strings.Count(r.Message, "allows 5 requests a minute"); n > 1 {
				t.Errorf("the message says the same thing %d times: %q", n, r.Message)
			}
			if r.RetryAfterSeconds != tt.retry {
				t.Errorf("retry after %d s, want %d", r.RetryAfterSeconds, tt.retry)
			}
		})
	}
}

func TestTheGatewaysEvidenceIsAskedForOnlyWhereItHasAllKeys(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say All done").behind(newGateway(t))
	s.config.Credentials = append(s.config.Credentials, contract.Credential{Provider: "other", Delivery: contract.DeliveryEnv})
	s.env = []string{contract.APIKeyEnv(1) + "=key-of-other"}
	wantSuccess(t, s.run())
}

func TestAGatewayThatIsDownFailsTheAgentOnly(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	s := newSandbox(t, "text", "quietly $ACME/messages\nexit 1").behind(g)
	g.Close()
	r := s.run()
	wantFailure(t, r, contract.ProviderUnavailable, "The gateway cannot be reached", "connection refused")
	if n := strings.Count(s.out.String(), "The gateway cannot be reached or does not answer"); n != 1 {
		t.Errorf("the transcript tells %d times of the gateway", n)
	}
}

func TestAReportThatTheGatewayDoesNotTakeChangesNothing(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.refuseReport = true
	s := newSandbox(t, "text", "ask $ACME/messages").behind(g)
	wantSuccess(t, s.run())
	if !strings.Contains(s.out.String(), "The gateway did not take the report") || len(g.requests("/report")) != 3 {
		t.Errorf("%d reports", len(g.requests("/report")))
	}
}

func TestAStopLeavesNoMoreThanTheGracePeriodForTheReport(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	hanging := make(chan struct{})
	t.Cleanup(func() { close(hanging) })
	answer := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == contract.GatewayReport {
			<-hanging
		}
		answer.ServeHTTP(w, r)
	})
	s := newSandbox(t, "text", "ask $ACME/messages\nhang").behind(g)
	s.config.GracePeriod = 4
	s.start()
	s.waitFor("the agent", func() bool { return len(g.requests("/providers/")) > 0 })
	begin := time.Now()
	s.stop()
	wantFailure(t, s.end(), contract.Stopped)
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestADoorThatCannotBeOpenedFailsTheRun(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, "text", "say hello").behind(newGateway(t))
	s.config.Gateway.CABundle = "nothing"
	wantFailure(t, s.run(), contract.AgentCrashed, "its CA bundle holds no certificate")
	if strings.Contains(s.out.String(), "hello") {
		t.Error("the agent was started")
	}
}
