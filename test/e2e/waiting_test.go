package e2e

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// What is missing is waited for: the Session says what to make, and goes on by itself once it is there.

func TestI5MissingSecretIsWaitedFor(t *testing.T) {
	p := newPlayWithoutSecret(t)
	p.session("ok", p.commandClass("echo paid", paid(v1alpha1.DeliveryEnv)))
	s := p.untilSays(v1alpha1.ReasonCredentialNotReady, `Secret "provider" not found`)
	p.expect(s, v1alpha1.ConditionCredentialsResolved, metav1.ConditionFalse, v1alpha1.ReasonCredentialNotReady)
	p.expect(s, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonNotFinished)
	p.expectMessage(s, "create it")
	p.createSecret(secretKey)
	p.untilSucceeded()
}

func TestMissingKeyOfSecretIsWaitedFor(t *testing.T) {
	p := newPlayWithoutSecret(t)
	p.createSecret("another-entry")
	p.session("ok", p.commandClass("echo paid", paid(v1alpha1.DeliveryFile)))
	s := p.untilSays(v1alpha1.ReasonCredentialNotReady, `has no key "api-key"`)
	p.expect(s, v1alpha1.ConditionCredentialsResolved, metav1.ConditionFalse, v1alpha1.ReasonCredentialNotReady)
	p.expectMessage(s, "add the key")
	p.changeSecret(map[string]string{secretKey: p.key})
	p.untilSucceeded()
}

func TestI5MissingClassIsWaitedFor(t *testing.T) {
	p := newPlay(t)
	p.session("ok", func(s *v1alpha1.SessionSpec) { s.ClassName, s.Model = p.namespace, "" })
	s := p.untilWaiting(v1alpha1.ReasonClassNotFound)
	p.expect(s, v1alpha1.ConditionFinished, metav1.ConditionFalse, v1alpha1.ReasonNotFinished)
	p.commandClass("echo made")
	p.untilSucceeded()
}

// An image that cannot be pulled may be there later: the Session says so and does not fail.
func TestImageThatCannotBePulled(t *testing.T) {
	p := newPlay(t)
	p.session("ok", p.commandClass("echo never", image("registry.invalid/nobody/nothing:1")))
	s := p.untilWaiting(v1alpha1.ReasonImagePullFailed)
	p.expect(s, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonNotFinished)
	p.expectMessage(s, "registry.invalid/nobody/nothing:1", "cannot be pulled")
}

// TestRepositoryFailures has one case for each way in which a git server refuses.
func TestRepositoryFailures(t *testing.T) {
	for _, test := range []struct {
		name, repository, class string
		messages                []string
	}{
		{"repository does not exist", "demo/nothing", v1alpha1.FailureCloneFailed, []string{"demo/nothing.git"}},
		{"repository needs a login", "private/calculator", v1alpha1.FailureCloneFailed, []string{"private/calculator.git"}},
		{"push is rejected", "readonly/calculator", v1alpha1.FailurePushRejected, []string{"read-only"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlay(t)
			p.session("ok", p.commandClass("echo changed >> README.md; echo Changed README.md"), p.onRepository(test.repository, "sandkeep/"+p.namespace))
			s := p.untilFailed(test.class)
			p.expectMessage(s, test.messages...)
			if strings.Contains(s.Status.Failure.Message, "@") {
				t.Errorf("the message holds a user: %q", s.Status.Failure.Message)
			}
		})
	}
}
