package scenario

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// All is every scenario.
func All() []Scenario {
	return slices.Concat(endings(), waits(), proxied(), permissions(), lost(), stops(), clashes(), retention())
}

// opencode is a class whose agent needs a key of anthropic.
func opencode() *build.ClassBuilder {
	return build.Class("opencode").Ready().Credential("anthropic", v1alpha1.RequirementRequired, v1alpha1.DeliveryEnv)
}

func anthropic() client.Object {
	return build.Provider("anthropic").Ready().Env("ANTHROPIC_API_KEY", "$(API_KEY)").Obj()
}

func shared() *build.CredentialBuilder { return inSandbox(build.Credential("shared").Ready()) }

// inSandbox permits the deliveries that put the key into a sandbox.
func inSandbox(c *build.CredentialBuilder) *build.CredentialBuilder {
	return c.Deliveries(v1alpha1.DeliveryEnv, v1alpha1.DeliveryFile)
}

// everything is what a Session needs.
func everything() []client.Object {
	return []client.Object{opencode().Obj(), anthropic(), shared().Obj()}
}

// applied is the step that begins most scenarios: a Session whose pod is made.
func applied(s *build.SessionBuilder) Step {
	return Step{
		When: "the Session is applied", Do: []Action{apply(s.Obj())},
		Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1), pods("fix-login-sandbox-1 Pending")},
	}
}

// atWork is the step in which the agent begins.
func atWork() Step {
	return Step{When: "the agent starts", Do: []Action{agentStarts}, Want: Running()}
}

// success is the report of an agent that did its work.
func success() contract.Report {
	return contract.Report{
		Outcome: contract.OutcomeSucceeded, Summary: "Fixed it",
		Commits: []contract.Commit{{Repository: "https://git.example/app.git", Branch: "fix", Commit: "0123456789abcdef", Pushed: true}},
		Usage:   contract.Usage{Requests: 3, InputTokens: 1000, OutputTokens: 200},
	}
}

// failing is the report of a run that failed.
func failing(class contract.FailureClass) contract.Report {
	return contract.Report{Outcome: contract.OutcomeFailed, Class: class, Message: "What went wrong", Usage: contract.Usage{Requests: 1}}
}

// AgentFails is the newest pod ending with a failure that is retried.
func AgentFails(s Stage) { agentReports(failing(contract.AgentCrashed))(s) }

// NodeDrained is the newest pod starting, and then ending with its node.
func NodeDrained(s Stage) {
	agentStarts(s)
	podEnds(drained)(s)
}

// Deletion is a step that deletes the Session and lets its pods end.
func Deletion(foreground bool) Step {
	policy := metav1.DeletePropagationBackground
	if foreground {
		policy = metav1.DeletePropagationForeground
	}
	return Step{
		When: "the Session is deleted",
		Do: []Action{func(s Stage) {
			must(s, client.IgnoreNotFound(s.API().Delete(s.Context(), session().Namespace(s.Namespace()).Obj(), client.PropagationPolicy(policy))))
		}, finishAudit, pass(time.Second), endPods, pass(time.Second)},
		Want: Gone(), Also: []Fact{nothingLeft},
	}
}

// auditFinalizer is somebody else's.
const auditFinalizer = "example.com/audit"

// finishAudit lets a Session go that somebody else holds.
func finishAudit(s Stage) {
	s.Helper()
	if held := Look(s).Session; held == nil || !slices.Contains(held.Finalizers, auditFinalizer) {
		return
	}
	editSession(func(o *v1alpha1.Session) {
		o.Finalizers = slices.DeleteFunc(o.Finalizers, func(f string) bool { return f == auditFinalizer })
	})(s)
}

// endPods ends every pod that is on a node.
func endPods(s Stage) {
	s.Helper()
	retryConflicts(s, func() error {
		for _, pod := range Look(s).Pods {
			if pod.Spec.NodeName == "" || sandbox.Ended(&pod) {
				continue
			}
			pod.Status.Phase = corev1.PodFailed
			if err := s.API().Status().Update(s.Context(), &pod); client.IgnoreNotFound(err) != nil {
				return err
			}
			confirmDeletion(s, &pod)
		}
		return nil
	})
}
