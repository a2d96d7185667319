package scenario

import (
	"time"

	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// retention is what happens after the end.
func retention() []Scenario {
	return []Scenario{sandboxRetained(), sandboxNotRetained(), failureRetained(), sessionExpires(), expiresWithoutClass(), heldInDeletion()}
}

func sandboxRetained() Scenario {
	return Scenario{
		Name: "a sandbox is kept for its time", Given: everything(),
		Steps: []Step{
			applied(session().RetainSandbox(3).Workspace("1Gi", "")), atWork(),
			{
				When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(),
				Also: []Fact{pods("fix-login-sandbox-1 Succeeded"), volume(1)},
			},
			{When: "the time has passed", Do: []Action{pass(3 * time.Second)}, Want: Succeeded(), Also: []Fact{nothingLeft, left("Fixed it", successCommit())}},
		},
	}
}

func sandboxNotRetained() Scenario {
	return Scenario{
		Name: "a sandbox is not kept at all", Given: everything(),
		Steps: []Step{
			applied(session().RetainSandbox(0)), atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(), Also: []Fact{nothingLeft}},
			{When: "somebody suspends it", Do: []Action{suspend(true)}, Want: Succeeded()},
		},
	}
}

func failureRetained() Scenario {
	return Scenario{
		Name: "a sandbox that failed is kept for its time", Given: everything(),
		Steps: []Step{
			applied(session().RetainSandbox(3)), atWork(),
			{
				When: "the agent says nothing", Do: []Action{agentReports(failing(contract.AgentSilent))}, Want: Failed(v1alpha1.FailureAgentSilent),
				Also: []Fact{pods("fix-login-sandbox-1 Failed")},
			},
			{When: "the time has passed", Do: []Action{pass(3 * time.Second)}, Want: Failed(v1alpha1.FailureAgentSilent), Also: []Fact{nothingLeft}},
		},
	}
}

func expiresWithoutClass() Scenario {
	short := func(l *v1alpha1.ClassLimits) {
		l.RetainSandboxSeconds = &v1alpha1.SecondsLimit{Default: new(int64(3))}
		l.TTLSecondsAfterFinished = &v1alpha1.SecondsLimit{Default: new(int64(600))} // far from the sandbox's, as time goes on from the API server's at each step
	}
	return Scenario{
		Name: "a class is deleted whose times still count", Given: []client.Object{opencode().Limits(short).Obj(), anthropic(), shared().Obj()},
		Steps: []Step{
			applied(session().Workspace("1Gi", "")), atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
			{When: "the class is deleted", Do: []Action{remove(opencode().Obj())}, Want: Succeeded(), Also: []Fact{volume(1)}},
			{When: "the sandbox's time has passed", Do: []Action{pass(3 * time.Second)}, Want: Succeeded(), Also: []Fact{pods(), volume(0)}},
			{When: "the Session's time has passed", Do: []Action{pass(600 * time.Second)}, Want: Gone(), Also: []Fact{nothingLeft}},
		},
	}
}

// heldInDeletion: whoever waits for the end of a Session must not miss it because somebody deletes it.
func heldInDeletion() Scenario {
	ended := Succeeded()
	ended.Kstatus = status.TerminatingStatus
	audit := editSession(func(s *v1alpha1.Session) { s.Finalizers = append(s.Finalizers, auditFinalizer) })
	return Scenario{
		Name: "a finished Session is deleted, and somebody else has yet to do something first", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
			{
				When: "it is deleted, and held by a finalizer", Do: []Action{audit, remove(session().Obj())},
				Want: ended, Also: []Fact{pods(), left("Fixed it", successCommit())},
			},
			{When: "the finalizer is taken off", Do: []Action{finishAudit}, Want: Gone()},
		},
	}
}

func sessionExpires() Scenario {
	return Scenario{
		Name: "a finished Session deletes itself", Given: everything(),
		Steps: []Step{
			applied(session().TTL(3)), atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
			{When: "its time has passed", Do: []Action{pass(3 * time.Second)}, Want: Gone(), Also: []Fact{nothingLeft}},
		},
	}
}
