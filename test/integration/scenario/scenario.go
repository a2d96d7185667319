// Package scenario tells the lives of Sessions, step by step, as data. Each scenario plays on a Stage: an API server in memory or
// a real one, with a kubelet that does what the scenario says. A step ends with what the Session must then look like.
package scenario

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Name is the name of the Session in every scenario.
const Name = "fix-login"

// Scenario is the life of one Session.
type Scenario struct {
	// Name says in words what happens.
	Name string
	// Given are the objects that exist before.
	Given []client.Object
	// Steps are what happens then, in this order.
	Steps []Step
	// Writes is how many writes the manager may need, Events apart; 0: as many as it likes.
	Writes int
	// Variant is true where everything but the names is as in another scenario, so that what costs time need not be tried
	// with it.
	Variant bool
	// Current says why caches that are behind may lead to another world than current ones; empty when they must not.
	Current string
	// InMemory says why the scenario cannot play on a real API server; empty when it can.
	InMemory string
}

// Step is something that happens, and what must follow from it.
type Step struct {
	// When says in words what happens.
	When string
	// Do is what happens.
	Do []Action
	// Want is how the Session is once Sandkeep has nothing left to do.
	Want State
	// Also is what else must be true then.
	Also []Fact
}

// Action is what a person, a kubelet or another controller does.
type Action func(Stage)

// Stage is where a scenario plays.
type Stage interface {
	testing.TB
	// API is the API server, without a cache.
	API() client.Client
	// Namespace is where the Session is.
	Namespace() string
	// Local is the object as this stage names it: names of objects without a namespace must not collide between scenarios.
	Local(o client.Object) client.Object
	// Permit lets the owner of the Session use the objects of these resources, and of no others. Before the first call it is all that there are.
	Permit(resources ...string)
	// Bind puts a pod on a node.
	Bind(pod *corev1.Pod)
	// Pass lets time go by.
	Pass(d time.Duration)
	// Now is the time.
	Now() time.Time
}
