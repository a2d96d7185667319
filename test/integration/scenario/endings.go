package scenario

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// endings are the ways in which runs end, and what follows.
func endings() []Scenario {
	list := []Scenario{succeeds(), succeedsWithVolume(), succeedsWithoutKeys(), succeedsThoughDeleted()}
	for _, class := range []contract.FailureClass{contract.CloneFailed, contract.AgentCrashed, contract.ProviderRateLimited, contract.ProviderUnavailable} {
		list = append(list, retriedAfterReport(class, 10*time.Second, 1))
	}
	list = append(list, retriedAfterReport(contract.ProviderAuthenticationFailed, time.Minute, 0))
	for _, class := range []contract.FailureClass{
		contract.AgentSilent, contract.ProviderQuotaExhausted, contract.ContextOverflow, contract.OutOfMemory, contract.PushRejected,
	} {
		list = append(list, finalAfterReport(class))
	}
	return append(list,
		retriedAfterPod("evicted by its node", v1alpha1.FailureEvicted, evicted, 10*time.Second, 0),
		retriedAfterPod("evicted for what it used", v1alpha1.FailureEvicted, overused, 10*time.Second, 1),
		retriedAfterPod("drained from its node", v1alpha1.FailureNodeLost, drained, time.Second, 0),
		retriedAfterPod("gone without a word", v1alpha1.FailureResultLost, nil, 10*time.Second, 1),
		retriedAfterPod("unable to start", v1alpha1.FailureAgentCrashed, startError, 10*time.Second, 1),
		outOfMemoryIsFinal(), stoppedByNobody(), resultLostWithPushBranch(), rateLimitedForLong(), backoffDoubles(), noRetryAllowed(),
		nodeLossIsNotCounted(), absurdReports(), forgedReport(), volumeOutlivesClass(),
	)
}

func succeeds() Scenario {
	return Scenario{
		Name: "an agent does its work", Given: everything(), Writes: 6,
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(1), paidBy("shared"), pods("fix-login-sandbox-1 Pending"), volume(0)},
			},
			atWork(),
			{
				When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(),
				Also: []Fact{
					left("Fixed it", v1alpha1.Commit{Repository: "https://git.example/app.git", Branch: "fix", Commit: "0123456789abcdef"}),
					used(3), noPodKept, pods("fix-login-sandbox-1 Succeeded"), failures(0),
				},
			},
		},
	}
}

func succeedsWithVolume() Scenario {
	return Scenario{
		Name: "an agent does its work on a volume", Given: everything(), Writes: 7,
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Workspace("1Gi", "").Obj())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{volume(1)},
			},
			atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(), Also: []Fact{volume(1)}},
		},
	}
}

func succeedsWithoutKeys() Scenario {
	return Scenario{
		Name: "an agent needs no key", Writes: 6,
		Steps: []Step{
			{
				When: "class and Session are applied", Do: []Action{apply(build.Class("opencode").Ready().Obj()), apply(session().Obj())},
				Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{paidBy()},
			},
			atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
		},
	}
}

func succeedsThoughDeleted() Scenario {
	return Scenario{
		Name: "an agent finishes while its pod is being deleted", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "somebody deletes the pod", Do: []Action{deletePod}, Want: Stopping(v1alpha1.ReasonTerminating)},
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(), Also: []Fact{pods(), left("Fixed it", successCommit())}},
		},
	}
}

func successCommit() v1alpha1.Commit {
	return v1alpha1.Commit{Repository: "https://git.example/app.git", Branch: "fix", Commit: "0123456789abcdef"}
}

// volumeOutlivesClass: work of an earlier run is on the volume, which a change of the class must not leave behind.
func volumeOutlivesClass() Scenario {
	return Scenario{
		Name: "a class gives up its workspace between two runs", Given: []client.Object{opencode().Workspace("1Gi", "").Obj(), anthropic(), shared().Obj()},
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the run fails", Do: []Action{agentReports(failing(contract.AgentCrashed))}, Want: Retrying(v1alpha1.FailureAgentCrashed)},
			{
				When: "the class gives up its workspace, and the time has come", Want: Starting(v1alpha1.ReasonStarting),
				Do: []Action{
					editClass(func(c *v1alpha1.SessionClass) { c.Spec.Workspace = nil }),
					judged(opencode().With(func(c *v1alpha1.SessionClass) { c.Status.Conditions[0].ObservedGeneration = 2 }).Obj()),
					pass(10 * time.Second),
				},
				Also: []Fact{run(2), volume(1), worksOnVolume},
			},
		},
	}
}

// nextRun are the steps from a failure to the success of the second run.
func nextRun(after time.Duration) []Step {
	return []Step{
		{
			When: "the time of the next run comes", Do: []Action{pass(after)}, Want: Starting(v1alpha1.ReasonStarting),
			Also: []Fact{run(2), paidBy("shared")},
		},
		atWork(),
		{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(), Also: []Fact{failure("")}},
	}
}

func retriedAfterReport(class contract.FailureClass, after time.Duration, counted int32) Scenario {
	return Scenario{
		Name: "a run fails with " + string(class), Given: everything(), Variant: class != contract.CloneFailed,
		Steps: append([]Step{
			applied(session()), atWork(),
			{
				When: "the agent reports the failure", Do: []Action{agentReports(failing(class))}, Want: Retrying(string(class)),
				Also: []Fact{failures(counted), nextRunIn(after), failure(string(class)), noPodKept, says("What went wrong"), used(1)},
			},
		}, nextRun(after)...),
	}
}

func finalAfterReport(class contract.FailureClass) Scenario {
	return Scenario{
		Name: "a run fails for good with " + string(class), Given: everything(), Variant: class != contract.PushRejected,
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the agent reports the failure", Do: []Action{agentReports(failing(class))}, Want: Failed(string(class)),
				Also: []Fact{failures(0), failure(string(class)), noPodKept, pods("fix-login-sandbox-1 Failed")},
			},
		},
	}
}

func retriedAfterPod(what, class string, change func(*corev1.Pod), after time.Duration, counted int32) Scenario {
	return Scenario{
		Name: "a pod is " + what, Given: everything(), Variant: class != v1alpha1.FailureEvicted,
		Steps: append([]Step{
			applied(session()), atWork(),
			{
				When: "the pod ends", Do: []Action{podEnds(change)}, Want: Retrying(class),
				Also: []Fact{failures(counted), nextRunIn(after), noPodKept},
			},
		}, nextRun(after)...),
	}
}

func outOfMemoryIsFinal() Scenario {
	return Scenario{
		Name: "an agent needs more memory than it has", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the kernel kills it", Do: []Action{podEnds(outOfMemory)}, Want: Failed(v1alpha1.FailureOutOfMemory), Also: []Fact{says(lostUnseen)}},
		},
	}
}

func stoppedByNobody() Scenario {
	return Scenario{
		Name: "an agent is stopped though nobody asked for it", Given: everything(),
		Steps: append([]Step{
			applied(session()), atWork(),
			{
				When: "the agent reports that it was stopped", Do: []Action{agentReports(failing(contract.Stopped))},
				Want: Retrying(v1alpha1.FailureStopped), Also: []Fact{failures(1)},
			},
		}, nextRun(10*time.Second)...),
	}
}

func resultLostWithPushBranch() Scenario {
	return Scenario{
		Name: "a result is lost that may have been pushed", Given: everything(),
		Steps: []Step{
			applied(session().Repository("https://git.example/app.git", "fix")), atWork(),
			{When: "the pod ends without a word", Do: []Action{podEnds(nil)}, Want: Failed(v1alpha1.FailureResultLost)},
		},
	}
}

func rateLimitedForLong() Scenario {
	report := failing(contract.ProviderRateLimited)
	report.RetryAfterSeconds = 600
	return Scenario{
		Name: "a provider names the time of the next try", Given: everything(), InMemory: "takes ten minutes",
		Steps: append([]Step{
			applied(session()), atWork(),
			{
				When: "the agent reports the limit", Do: []Action{agentReports(report)}, Want: Retrying(v1alpha1.FailureProviderRateLimited),
				Also: []Fact{nextRunIn(600 * time.Second)},
			},
			{When: "five minutes pass", Do: []Action{pass(5 * time.Minute)}, Want: Retrying(v1alpha1.FailureProviderRateLimited)},
		}, nextRun(5*time.Minute)...),
	}
}

func backoffDoubles() Scenario {
	crash := []Action{agentReports(failing(contract.AgentCrashed))}
	return Scenario{
		Name: "an agent crashes until nobody tries any more", Given: everything(), InMemory: "takes half a minute",
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the agent crashes", Do: crash, Want: Retrying(v1alpha1.FailureAgentCrashed), Also: []Fact{failures(1), nextRunIn(10 * time.Second)}},
			{When: "the time comes", Do: []Action{pass(10 * time.Second)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2)}},
			{
				When: "the agent crashes at once", Do: append([]Action{agentStarts}, crash...), Want: Retrying(v1alpha1.FailureAgentCrashed),
				Also: []Fact{failures(2), nextRunIn(20 * time.Second), used(2)},
			},
			{
				When: "the time comes", Do: []Action{pass(20 * time.Second)}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(3), pods("fix-login-sandbox-2 Failed", "fix-login-sandbox-3 Pending")},
			},
			{
				When: "the agent crashes once more", Do: append([]Action{agentStarts}, crash...), Want: Failed(v1alpha1.FailureAgentCrashed),
				Also: []Fact{failures(3), run(3), used(3), noPodKept},
			},
		},
	}
}

func noRetryAllowed() Scenario {
	return Scenario{
		Name: "an agent crashes and backoffLimit is 0", Given: everything(),
		Steps: []Step{
			applied(session().BackoffLimit(0)), atWork(),
			{
				When: "the agent crashes", Do: []Action{agentReports(failing(contract.AgentCrashed))},
				Want: Failed(v1alpha1.FailureAgentCrashed), Also: []Fact{failures(1)},
			},
		},
	}
}

func nodeLossIsNotCounted() Scenario {
	lost := func(n int32, after time.Duration) []Step {
		return []Step{
			{
				When: "the node is drained", Do: []Action{agentStarts, podEnds(drained)}, Want: Retrying(v1alpha1.FailureNodeLost),
				Also: []Fact{failures(0), nextRunIn(after), run(n), says(lostUnseen)},
			},
			{When: "the time comes", Do: []Action{pass(after)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(n + 1)}},
		}
	}
	steps := []Step{applied(session().BackoffLimit(0))}
	steps = append(steps, lost(1, time.Second)...)
	steps = append(steps, lost(2, 2*time.Second)...)
	steps = append(steps, lost(3, 4*time.Second)...)
	return Scenario{Name: "nodes go away one after the other", Given: everything(), Steps: steps}
}

// absurdReports are claims that no status could hold.
func absurdReports() Scenario {
	report := failing(contract.CloneFailed)
	report.Usage = contract.Usage{Requests: math.MaxInt64, InputTokens: -5}
	report.RetryAfterSeconds = -1
	report.Summary = "escape \x1b[31m sequences"
	report.Commits = []contract.Commit{
		{Repository: "https://git.example/app.git", Commit: "not hexadecimal"},
		{Repository: "https://git.example/\x1b[2Japp.git", Commit: "0123456789abcdef"},
		{Repository: "https://git.example/app.git", Branch: "a\x1b[2Jb", Commit: "0123456789abcdef", Pushed: true},
	}
	return Scenario{
		Name: "an agent claims what cannot be", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the agent reports nonsense", Do: []Action{agentReports(report)}, Want: Retrying(v1alpha1.FailureCloneFailed),
				Also: []Fact{used(1 << 53), left("escape [31m sequences"), nextRunIn(10 * time.Second)},
			},
			{When: "the time comes", Do: []Action{pass(10 * time.Second)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2)}},
			{
				When: "the agent reports nonsense again", Do: []Action{agentStarts, agentReports(report)}, Want: Retrying(v1alpha1.FailureCloneFailed),
				Also: []Fact{used(1 << 53)},
			},
		},
	}
}

// forgedReport claims what only Kubernetes can see, and would be retried without end.
func forgedReport() Scenario {
	return Scenario{
		Name: "an agent claims that its node was lost", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the agent reports it", Do: []Action{agentReports(failing(v1alpha1.FailureNodeLost))}, Want: Retrying(v1alpha1.FailureResultLost),
				Also: []Fact{failures(1)},
			},
		},
	}
}
