package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/demo/scene"
	"github.com/sandkeep/sandkeep/hack/install"
)

const claudeCode = "claude-code"

// claudeClass is the shipped class with an image that this machine builds for itself. The program is proprietary, so there is
// no image of it to be had, and where npm does not give it out the tests are skipped.
func (p *play) claudeClass() change {
	p.Helper()
	if p.source.Existing {
		p.Skip("the image of Claude Code is never pushed anywhere")
	}
	images, err := claudeImage(p.source)
	if err != nil {
		p.Skipf("the image of Claude Code cannot be built here: %v", err)
	}
	shipped := &v1alpha1.SessionClass{}
	if err := p.client.Get(p.Context(), client.ObjectKey{Name: claudeCode}, shipped); err != nil {
		p.Fatal(err)
	}
	class := scene.Class(shipped, p.namespace, stageName, v1alpha1.DeliveryEnv)
	image(images[claudeCode])(&class.Spec)
	p.create(class)
	p.Cleanup(func() { p.remove(class) })
	return func(s *v1alpha1.SessionSpec) { s.ClassName, s.Model = class.Name, "claude-sonnet-4-5" }
}

var claude struct {
	sync.Once
	images install.Images
	err    error
}

// claudeImage builds the image once for all tests.
func claudeImage(source install.Source) (install.Images, error) {
	claude.Do(func() { claude.images, claude.err = source.Provide(context.Background(), setUpLog, claudeCode) })
	return claude.images, claude.err
}

func TestClaudeCodeEditsTestsAndPushes(t *testing.T) {
	p := newPlay(t)
	class := p.claudeClass()
	repository := p.newRepository()
	p.session("edit-and-test", class, p.onRepository(repository, "sandkeep/fix"))
	s := p.untilSucceeded()
	p.expectPushed(s, repository, "sandkeep/fix", `subtract) echo "$(($2 - $3))" ;;`)
	p.expectPaid()
	if !strings.Contains(s.Status.Result.Summary, "all tests passed") {
		t.Errorf("the summary is %q, want what the agent said last", s.Status.Result.Summary)
	}
}

func TestClaudeCodeFailures(t *testing.T) {
	for _, test := range []struct{ name, script, class, message string }{
		{"overloaded", "529", v1alpha1.FailureProviderUnavailable, "verloaded"},
		{"credit exhausted", "credit", v1alpha1.FailureProviderQuotaExhausted, "redit balance is too low"},
		{"context overflow", "overflow", v1alpha1.FailureContextOverflow, "rompt is too long"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlay(t)
			p.session(test.script, p.claudeClass())
			p.expectMessage(p.untilFailed(test.class), test.message)
		})
	}
}

func TestClaudeCodeWithARefusedKeyWaits(t *testing.T) {
	p := newPlay(t)
	p.session("401", p.claudeClass())
	s := p.untilWaiting(v1alpha1.FailureProviderAuthenticationFailed)
	p.expect(s, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonNotFinished)
}
