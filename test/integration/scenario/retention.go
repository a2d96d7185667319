package scenario

import (
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// retention is what happens after the end.
func retention() []Scenario {
	return []Scenario{sandboxRetained(), sandboxNotRetained(), failureRetained(), sessionExpires()}
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
