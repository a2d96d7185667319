package keyhealth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sandkeep/sandkeep/controllers/acceptance/acceptancetest"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestCredentialsAreCounted(t *testing.T) {
	s := acceptancetest.NewStage(t,
		build.Credential("a").Ready().Obj(), build.Credential("b").Ready().Obj(), build.Credential("c").Provider("openai").NotReady("KeyRejected", "x").Obj(),
		build.ClusterCredential("new").Obj(),
	)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(NewMetrics(t.Context(), s.Client)); err != nil {
		t.Fatal(err)
	}
	scrape := func() *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		return answer
	}
	want := []string{
		`sandkeep_credentials{kind="ClusterCredential",provider="anthropic",reason="Unknown"} 1`,
		`sandkeep_credentials{kind="Credential",provider="anthropic",reason="Accepted"} 2`,
		`sandkeep_credentials{kind="Credential",provider="openai",reason="KeyRejected"} 1`,
	}
	var got []string
	for line := range strings.Lines(scrape().Body.String()) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	s.FailAt = s.Calls + 2
	if got := scrape().Code; got != http.StatusInternalServerError {
		t.Errorf("a list that failed is answered with %d", got)
	}
}
