package scenario

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// stops are the ways in which somebody ends a run before its agent does.
func stops() []Scenario {
	return []Scenario{
		suspendedBeforeStart(), suspendedWhileRunning(), suspendedTooLate(), suspendedAfterFailure(), suspendedThenDeleted(), suspendedUnscheduled(),
		unsavedWork(), looseFiles(), resumedAtOnce(), deadlineWhileRunning(), deadlineWhileUnscheduled(), deadlineBetweenRuns(), deadlineExtended(),
		deadlineOfClassThatIsGone(), labelsTakenOff(), podNotReady(), podDeleted(),
		podDeletedUnscheduled(), nodeUnreachable(), vanished(), vanishedFromVolume(), vanishedWithPushBranch(), deletedInBackground(), deletedInForeground(), deletedAfterEnd(),
	}
}

func suspendedBeforeStart() Scenario {
	return Scenario{
		Name: "a Session is suspended before it starts", Given: everything(),
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Suspend().Obj())}, Want: Suspended(), Also: []Fact{run(0), pods()}},
			{When: "it is resumed", Do: []Action{suspend(false)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1)}},
		},
	}
}

func suspendedWhileRunning() Scenario {
	return Scenario{
		Name: "a Session is suspended and resumed", Given: everything(),
		Steps: []Step{
			applied(session().ActiveDeadline(3600)), atWork(),
			{When: "it is suspended", Do: []Action{suspend(true)}, Want: Stopping(v1alpha1.ReasonSuspending)},
			{
				When: "the agent stops", Do: []Action{agentReports(failing(contract.Stopped))}, Want: Suspended(),
				Also: []Fact{failures(0), pods(), run(1), used(1)},
			},
			{When: "it is resumed", Do: []Action{suspend(false)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2), paidBy("shared")}},
			atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(), Also: []Fact{used(4)}},
		},
	}
}

func suspendedTooLate() Scenario {
	return Scenario{
		Name: "an agent finishes while it is being suspended", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "it is suspended", Do: []Action{suspend(true)}, Want: Stopping(v1alpha1.ReasonSuspending)},
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
			{When: "it is resumed", Do: []Action{suspend(false)}, Want: Succeeded(), Also: []Fact{run(1)}},
		},
	}
}

func suspendedAfterFailure() Scenario {
	return Scenario{
		Name: "a Session is suspended between two runs", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the agent crashes", Do: []Action{agentReports(failing(contract.AgentCrashed))}, Want: Retrying(v1alpha1.FailureAgentCrashed)},
			{When: "it is suspended", Do: []Action{suspend(true)}, Want: Suspended(), Also: []Fact{failures(1)}},
			{When: "the time of the next run passes", Do: []Action{pass(time.Minute)}, Want: Suspended(), Also: []Fact{run(1)}},
			{When: "it is resumed", Do: []Action{suspend(false)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2), failures(1)}},
		},
	}
}

func suspendedThenDeleted() Scenario {
	return Scenario{
		Name: "a suspended Session is deleted", Given: everything(),
		Steps: []Step{
			applied(session().Workspace("1Gi", "")), atWork(),
			{
				When: "it is suspended", Do: []Action{suspend(true), agentReports(failing(contract.Stopped))}, Want: Suspended(), Also: []Fact{volume(1)},
			},
			{When: "it is deleted", Do: []Action{remove(session().Obj())}, Want: Gone(), Also: []Fact{nothingLeft}},
		},
	}
}

func suspendedUnscheduled() Scenario {
	return Scenario{
		Name: "a Session is suspended before its pod has a node", Given: everything(),
		Steps: []Step{
			applied(session()),
			{When: "it is suspended", Do: []Action{suspend(true)}, Want: Suspended(), Also: []Fact{pods(), failures(0)}},
		},
	}
}

func unsavedWork() Scenario {
	report := failing(contract.Stopped)
	report.UnsavedChanges = true
	return Scenario{
		Name: "work is lost with a suspended pod", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "it is suspended", Do: []Action{suspend(true)}, Want: Stopping(v1alpha1.ReasonSuspending)},
			{
				When: "the agent stops with changes on no branch", Do: []Action{agentReports(report)}, Want: Suspended(),
				Also: []Fact{says("no workspace volume")},
			},
		},
	}
}

func looseFiles() Scenario {
	report := success()
	report.LooseFiles = true
	lost := says("files that belong to no repository are gone, since the Session has no workspace volume")
	return Scenario{
		Name: "an agent leaves files outside its repositories", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(report)}, Want: Succeeded(), Also: []Fact{lost}},
		},
	}
}

func resumedAtOnce() Scenario {
	return Scenario{
		Name: "a Session is resumed before its pod has ended", Given: everything(),
		Current: "only the reason of Ready remembers that the pod was asked to end; who overlooks its end starts the next run a second later",
		Steps: []Step{
			applied(session()), atWork(),
			{When: "it is suspended", Do: []Action{suspend(true)}, Want: Stopping(v1alpha1.ReasonSuspending)},
			{When: "it is resumed", Do: []Action{suspend(false)}, Want: Stopping(v1alpha1.ReasonSuspending)},
			{
				When: "the agent stops", Do: []Action{agentReports(failing(contract.Stopped))}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(2), failures(0)},
			},
		},
	}
}

func deadlineWhileRunning() Scenario {
	return Scenario{
		Name: "an agent works for longer than it may", Given: everything(),
		Steps: []Step{
			applied(session().ActiveDeadline(2)), atWork(),
			{When: "the time is up", Do: []Action{pass(2 * time.Second)}, Want: Stopping(v1alpha1.ReasonTerminating)},
			{
				When: "the kubelet ends the pod", Do: []Action{podEnds(pastDeadline)}, Want: Failed(v1alpha1.FailureDeadlineExceeded),
				Also: []Fact{pods("fix-login-sandbox-1 Failed"), says("activeDeadlineSeconds")},
			},
		},
	}
}

func deadlineWhileUnscheduled() Scenario {
	return Scenario{
		Name: "the time is up before the pod has a node", Given: everything(),
		Steps: []Step{
			applied(session().ActiveDeadline(2)),
			{
				When: "the time is up", Do: []Action{pass(2 * time.Second)}, Want: Failed(v1alpha1.FailureDeadlineExceeded),
				Also: []Fact{pods(), failures(0)},
			},
		},
	}
}

func deadlineBetweenRuns() Scenario {
	return Scenario{
		Name: "the time is up between two runs", Given: everything(),
		Steps: []Step{
			applied(session().ActiveDeadline(5)), atWork(),
			{When: "the agent crashes", Do: []Action{agentReports(failing(contract.AgentCrashed))}, Want: Retrying(v1alpha1.FailureAgentCrashed)},
			{
				When: "the time is up", Do: []Action{pass(5 * time.Second)}, Want: Failed(v1alpha1.FailureDeadlineExceeded),
				Also: []Fact{says("What went wrong"), run(1), failure(v1alpha1.FailureDeadlineExceeded)},
			},
		},
	}
}

func deadlineExtended() Scenario {
	return Scenario{
		Name: "a running Session is given more time", Given: everything(), InMemory: "takes minutes",
		Steps: []Step{
			applied(session().ActiveDeadline(60)), atWork(),
			{When: "it gets more time", Do: []Action{editSession(func(o *v1alpha1.Session) { o.Spec.ActiveDeadlineSeconds = new(int64(120)) })}, Want: Running()},
			{When: "the first deadline passes", Do: []Action{pass(time.Minute)}, Want: Running()},
			{When: "the second deadline passes", Do: []Action{pass(time.Minute)}, Want: Stopping(v1alpha1.ReasonTerminating)},
		},
	}
}

func deadlineOfClassThatIsGone() Scenario {
	short := func(l *v1alpha1.ClassLimits) {
		l.ActiveDeadlineSeconds = &v1alpha1.SecondsLimit{Default: new(int64(2))}
	}
	return Scenario{
		Name: "the class whose deadline holds is deleted", Given: []client.Object{opencode().Limits(short).Obj(), anthropic(), shared().Obj()},
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the class is deleted", Do: []Action{remove(opencode().Obj())}, Want: Running()},
			{When: "the time is up", Do: []Action{pass(2 * time.Second)}, Want: Stopping(v1alpha1.ReasonTerminating)},
		},
	}
}

func labelsTakenOff() Scenario {
	return Scenario{
		Name: "somebody takes our labels off a pod", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the labels go", Do: []Action{unlabelPod}, Want: Running(), Also: []Fact{pods("fix-login-sandbox-1 Running"), run(1), classKept}},
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded(), Also: []Fact{run(1)}},
		},
	}
}

func podNotReady() Scenario {
	return Scenario{
		Name: "a pod stops being ready while its agent works", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the node does not answer for a while", Do: []Action{podUnready}, Want: Running()},
		},
	}
}

func podDeleted() Scenario {
	return Scenario{
		Name: "a pod is deleted by hand", Given: everything(),
		Steps: append([]Step{
			applied(session()), atWork(),
			{When: "somebody deletes the pod", Do: []Action{deletePod}, Want: Stopping(v1alpha1.ReasonTerminating)},
			{
				When: "the agent stops", Do: []Action{agentReports(failing(contract.Stopped))}, Want: Retrying(v1alpha1.FailureNodeLost),
				Also: []Fact{pods(), failures(0), nextRunIn(time.Second), saysNothingOf("no workspace volume")},
			},
		}, nextRun(time.Second)...),
	}
}

func podDeletedUnscheduled() Scenario {
	return Scenario{
		Name: "a pod is deleted by hand before it has a node", Given: everything(),
		Steps: append([]Step{
			applied(session()),
			{When: "somebody deletes the pod", Do: []Action{deletePod}, Want: Retrying(v1alpha1.FailureNodeLost), Also: []Fact{pods(), failures(0), saysNothingOf("no workspace volume")}},
		}, nextRun(time.Second)...),
	}
}

func nodeUnreachable() Scenario {
	return Scenario{
		Name: "a node does not answer", Given: everything(), InMemory: "takes a minute and a half",
		Steps: append([]Step{
			applied(session()), atWork(),
			{When: "the pod is to be evicted", Do: []Action{deletePod}, Want: Stopping(v1alpha1.ReasonTerminating)},
			{
				When: "the node does not answer for long", Do: []Action{pass(2 * time.Minute)}, Want: Stopping(v1alpha1.ReasonNodeUnreachable),
				Also: []Fact{says("bring the node back"), run(1)},
			},
			{When: "the node comes back", Do: []Action{podEnds(nil)}, Want: Retrying(v1alpha1.FailureNodeLost), Also: []Fact{failures(0), pods()}},
		}, nextRun(time.Second)...),
	}
}

func vanished() Scenario {
	return Scenario{
		Name: "a pod vanishes with its result", Given: everything(),
		Steps: append([]Step{
			applied(session()), atWork(),
			{
				When: "somebody forces it out", Do: []Action{podVanishes}, Want: Retrying(v1alpha1.FailureResultLost),
				Also: []Fact{pods(), failures(1), says("left no result"), says(lostUnseen)},
			},
		}, nextRun(10*time.Second)...),
	}
}

// lostUnseen is what is said of work that nobody has told of.
const lostUnseen = "work that was not pushed is gone with the pod, since the Session has no workspace volume"

func vanishedFromVolume() Scenario {
	return Scenario{
		Name: "a pod vanishes and leaves its volume", Given: everything(),
		Steps: append([]Step{
			applied(session().Workspace("1Gi", "")), atWork(),
			{
				When: "somebody forces it out", Do: []Action{podVanishes}, Want: Retrying(v1alpha1.FailureResultLost),
				Also: []Fact{pods(), volume(1), says("left no result"), saysNothingOf("gone with the pod")},
			},
		}, nextRun(10*time.Second)...),
	}
}

func vanishedWithPushBranch() Scenario {
	return Scenario{
		Name: "a pod vanishes that may have pushed", Given: everything(),
		Steps: []Step{
			applied(session().Repository("https://git.example/app.git", "fix")), atWork(),
			{When: "somebody forces it out", Do: []Action{podVanishes}, Want: Failed(v1alpha1.FailureResultLost), Also: []Fact{pods()}},
		},
	}
}

func deletedInBackground() Scenario {
	return Scenario{
		Name: "a running Session is deleted", Given: everything(),
		Steps: []Step{
			applied(session().Workspace("1Gi", "")), atWork(),
			{When: "it is deleted", Do: []Action{remove(session().Obj())}, Want: Gone()},
			{When: "the agent stops", Do: []Action{agentReports(failing(contract.Stopped))}, Want: Gone(), Also: []Fact{nothingLeft}},
		},
	}
}

func deletedInForeground() Scenario {
	return Scenario{
		Name: "a running Session is deleted, its pod first", Given: everything(),
		Steps: []Step{
			applied(session().Workspace("1Gi", "")), atWork(),
			{When: "it is deleted", Do: []Action{remove(session().Obj(), client.PropagationPolicy(metav1.DeletePropagationForeground))}, Want: Deleted()},
			{When: "the agent stops", Do: []Action{agentReports(failing(contract.Stopped))}, Want: Gone(), Also: []Fact{nothingLeft}},
		},
	}
}

func deletedAfterEnd() Scenario {
	return Scenario{
		Name: "a finished Session is deleted", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
			{When: "it is deleted", Do: []Action{remove(session().Obj())}, Want: Gone(), Also: []Fact{nothingLeft}},
		},
	}
}
