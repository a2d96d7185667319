package e2e

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// onRepository gives a Session a repository of the git server.
func (p *play) onRepository(repository, pushBranch string) change {
	p.Helper()
	return func(s *v1alpha1.SessionSpec) {
		s.Repositories = []v1alpha1.Repository{{URL: p.scene.URL(repository), Ref: "main", PushBranch: pushBranch}}
	}
}

// newRepository makes one for this test alone.
func (p *play) newRepository() string {
	p.Helper()
	name := "demo/" + p.namespace
	if err := p.scene.AddRepository(p.Context(), name); err != nil {
		p.Fatal(err)
	}
	return name
}

func TestOpenCodeEditsTestsAndPushes(t *testing.T) {
	p := newPlay(t)
	repository := p.newRepository()
	p.session("edit-and-test", p.onRepository(repository, "sandkeep/fix"))
	s := p.untilSucceeded()
	p.expect(s, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	p.expect(s, v1alpha1.ConditionCredentialsResolved, metav1.ConditionTrue, v1alpha1.ReasonResolved)
	if s.Status.Auth != "Namespace/APIKey" {
		t.Errorf("status.auth is %q", s.Status.Auth)
	}
	p.expectPushed(s, repository, "sandkeep/fix", `subtract) echo "$(($2 - $3))" ;;`)
	p.expectPaid()
	if s.Status.Usage == nil || s.Status.Usage.OutputTokens == nil || *s.Status.Usage.OutputTokens == 0 {
		t.Errorf("status.usage is %+v, want what the agent used", s.Status.Usage)
	}
	if !strings.Contains(s.Status.Result.Summary, "all tests passed") {
		t.Errorf("the summary is %q, want what the agent said last", s.Status.Result.Summary)
	}
}

func TestOpenCodeCommitsByItself(t *testing.T) {
	p := newPlay(t)
	repository := p.newRepository()
	p.session("edit-and-commit", p.onRepository(repository, "sandkeep/commit"))
	p.expectPushed(p.untilSucceeded(), repository, "sandkeep/commit", `subtract) echo "$(($2 - $3))" ;;`)
}

// expectPushed compares what the Session says with what the git server has.
func (p *play) expectPushed(s *v1alpha1.Session, repository, branch, line string) {
	p.Helper()
	log, err := p.scene.Log(p.Context(), repository)
	if err != nil {
		p.Fatal(err)
	}
	if s.Status.Result == nil || len(s.Status.Result.Commits) != 1 {
		p.Fatalf("status.result is %+v, want one commit", s.Status.Result)
	}
	if c := s.Status.Result.Commits[0]; c.Branch != branch || log.Heads[branch] != c.Commit {
		p.Errorf("the Session says %+v, the git server has %v", c, log.Heads)
	}
	diff, err := p.scene.Diff(p.Context(), repository, "main", branch)
	if err != nil {
		p.Fatal(err)
	}
	if !strings.Contains(diff, "+"+line) {
		p.Errorf("the branch lacks the line %q:\n%s", line, diff)
	}
}

// expectPaid checks that the provider has seen the key of this test, in one header only.
func (p *play) expectPaid() {
	p.Helper()
	seen, err := p.scene.Requests(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	paid := 0
	for _, request := range seen {
		if request.Keys["x-api-key"] != provider.Fingerprint(p.key) {
			continue
		}
		paid++
		if len(request.Keys) != 1 {
			p.Errorf("a request carried %d credentials, want one", len(request.Keys))
		}
	}
	if paid == 0 {
		p.Error("the provider has not seen the key of this test")
	}
}

// TestOpenCodeFailures has one case for each way in which a provider fails and retrying is of no use or not permitted.
func TestOpenCodeFailures(t *testing.T) {
	for _, test := range []struct{ name, script, class, message string }{
		{"rate limit", "429 retry-after=1", v1alpha1.FailureProviderRateLimited, "rate limit"},
		{"overloaded", "529", v1alpha1.FailureProviderUnavailable, "Overloaded"},
		{"cut stream", "cut", v1alpha1.FailureProviderUnavailable, ""},
		{"empty answer", "empty", v1alpha1.FailureAgentSilent, "without an answer"},
		{"context overflow", "overflow", v1alpha1.FailureContextOverflow, "exceeds model limit"},
		{"credit exhausted", "credit", v1alpha1.FailureProviderQuotaExhausted, "credit balance is too low"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlay(t)
			p.session(test.script)
			p.expectMessage(p.untilFailed(test.class), test.message)
		})
	}
}

// A refused key is somebody else's turn: the Session waits and tries again, and that does not count.
func TestOpenCodeWithARefusedKeyWaits(t *testing.T) {
	p := newPlay(t)
	p.session("401")
	s := p.untilWaiting(v1alpha1.FailureProviderAuthenticationFailed)
	p.expect(s, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonNotFinished)
	p.expect(s, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonRetrying)
	p.expectMessage(s, "invalid x-api-key", "the next run starts at")
	if s.Status.Failures != nil || s.Status.NextRunTime == nil {
		t.Errorf("failures %v, next run %v; want none counted and a time", s.Status.Failures, s.Status.NextRunTime)
	}
}
