package scenario

import (
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// Resources are those of which an owner needs the verb use.
var Resources = []string{classes, clusterCredentials}

const (
	classes            = "sessionclasses"
	clusterCredentials = "clustercredentials"
)

// permissions are what becomes of a Session whose owner may not use something, and how it goes on.
func permissions() []Scenario {
	return []Scenario{classNotPermitted(), credentialNotPermitted(), chosenButNotPermitted(), permissionLostBetweenRuns(), noOwner()}
}

// permit changes what the owner may use, of which nothing tells the manager.
func permit(resources ...string) Action { return func(s Stage) { s.Permit(resources...) } }

// permitted is the step in which an admin gives the permission that was missing.
func permitted(runs int32) Step {
	return Step{
		When: "it is permitted, and half a minute passes", Do: []Action{permit(Resources...), pass(40 * time.Second)},
		Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(runs), paidBy("org")},
	}
}

func classNotPermitted() Scenario {
	return Scenario{
		Name: "the owner may not use the class, and then may", Given: withGateway(),
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{permit(clusterCredentials), apply(session().Obj())},
				Want: Waiting(v1alpha1.ReasonClassNotAllowed), Also: []Fact{
					says("may not use SessionClass"), says(`"name":"sandkeep-class-`), run(0), pods(),
				},
			},
			{When: "half a minute passes", Do: []Action{pass(40 * time.Second)}, Want: Waiting(v1alpha1.ReasonClassNotAllowed), Also: []Fact{pods()}},
			permitted(1),
		},
	}
}

func credentialNotPermitted() Scenario {
	return Scenario{
		Name: "the owner may not use an admin's credential, and then may", Given: withGateway(),
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{permit(classes), apply(session().Obj())},
				Want: Waiting(v1alpha1.ReasonCredentialNotAllowed), Also: []Fact{
					says("may not use ClusterCredential"), says(`"name":"sandkeep-credential-`), run(0), pods(),
				},
			},
			permitted(1),
		},
	}
}

func chosenButNotPermitted() Scenario {
	return Scenario{
		Name: "a Session names an admin's credential that its owner may not use", Given: withGateway(), Variant: true,
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{permit(classes), apply(session().ClusterCredential("anthropic", "org").Obj())},
				Want: Waiting(v1alpha1.ReasonCredentialNotAllowed), Also: []Fact{says("may not use ClusterCredential"), pods()},
			},
			permitted(1),
		},
	}
}

func permissionLostBetweenRuns() Scenario {
	return Scenario{
		Name: "the owner may no longer use an admin's credential when a second run is due", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the permission is taken away, and later the node is drained",
				Do:   []Action{permit(classes), pass(time.Minute), podEnds(drained)}, Want: Retrying(v1alpha1.FailureNodeLost),
			},
			{
				When: "the time of the next run comes", Do: []Action{pass(time.Second)}, Want: Waiting(v1alpha1.ReasonCredentialNotAllowed),
				Also: []Fact{says("may not use ClusterCredential"), run(1), paidBy("org")},
			},
			permitted(2),
		},
	}
}

func noOwner() Scenario {
	return Scenario{
		Name: "a Session has no owner", Given: withGateway(), InMemory: "an API server with our policies gives every Session an owner",
		Steps: []Step{{
			When: "the Session is applied", Do: []Action{apply(session().With(func(s *v1alpha1.Session) { s.Spec.Owner = nil }).Obj())},
			Want: Waiting(v1alpha1.ReasonClassNotAllowed), Also: []Fact{says("has no owner"), pods()},
		}},
	}
}
