package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// State is one line of the status contract: what a situation looks like in status.
type State struct {
	any bool
	// Gone is a Session that does not exist.
	Gone bool
	// Ready, Succeeded and Finished are "<status> <reason>" of these conditions.
	Ready, Succeeded, Finished string
	// Suspended is the status of that condition.
	Suspended string
	// Present is the one of Reconciling and Stalled that is there.
	Present string
	// Kstatus is what kstatus makes of it.
	Kstatus status.Status
	// Observed is true when the status speaks of the spec as it is.
	Observed bool
}

// unfinished is what all situations before the end have in common.
func unfinished(ready metav1.ConditionStatus, reason string) State {
	return State{
		Ready: fmt.Sprintf("%s %s", ready, reason), Succeeded: "Unknown NotFinished", Finished: "False NotFinished",
		Suspended: "False", Kstatus: status.InProgressStatus, Observed: true,
	}
}

// Waiting is a Session for which it is somebody else's turn.
func Waiting(reason string) State { return unfinished(metav1.ConditionFalse, reason) }

// Starting is a Session whose pod is on its way; reason says what holds it up.
func Starting(reason string) State {
	s := unfinished(metav1.ConditionFalse, reason)
	s.Present = v1alpha1.ConditionReconciling
	return s
}

// Stopping is a Session whose pod is on its way out.
func Stopping(reason string) State { return Starting(reason) }

// Retrying is a Session between a failure and its next run.
func Retrying(class string) State { return Starting(class) }

// Running is a Session with an agent at work.
func Running() State {
	s := unfinished(metav1.ConditionTrue, v1alpha1.ReasonRunning)
	s.Kstatus = status.CurrentStatus
	return s
}

// Refused is a Session with an agent at work whose credential does not work; reason says why.
func Refused(reason string) State { return unfinished(metav1.ConditionFalse, reason) }

// Suspended is a Session that has no pod because nobody wants one.
func Suspended() State {
	s := unfinished(metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	s.Kstatus, s.Suspended = status.CurrentStatus, "True"
	return s
}

// Succeeded is a Session that ended well.
func Succeeded() State {
	return State{
		Ready: "True Succeeded", Succeeded: "True Succeeded", Finished: "True Succeeded",
		Suspended: "False", Kstatus: status.CurrentStatus, Observed: true,
	}
}

// Failed is a Session that failed for good.
func Failed(class string) State {
	return State{
		Ready: "False " + class, Succeeded: "False " + class, Finished: "True " + class, Suspended: "False",
		Present: v1alpha1.ConditionStalled, Kstatus: status.FailedStatus, Observed: true,
	}
}

// Impossible is a Session whose spec cannot work.
func Impossible(reason string) State {
	s := unfinished(metav1.ConditionFalse, reason)
	s.Present, s.Kstatus = v1alpha1.ConditionStalled, status.FailedStatus
	return s
}

// Deleted is a Session that is being deleted in the foreground.
func Deleted() State {
	s := Stopping(v1alpha1.ReasonTerminating)
	s.Kstatus = status.TerminatingStatus
	return s
}

// Gone is no Session at all.
func Gone() State { return State{Gone: true} }

// Anything is every state.
func Anything() State { return State{any: true} }

// Unmet says how a Session differs from the state; empty when it does not.
func (s State) Unmet(seen Seen) string {
	if s.any {
		return ""
	}
	return cmp.Diff(s, stateOf(seen.Session), cmpopts.IgnoreUnexported(State{}))
}

func stateOf(s *v1alpha1.Session) State {
	if s == nil {
		return Gone()
	}
	state := State{
		Ready: line(s, v1alpha1.ConditionReady), Succeeded: line(s, v1alpha1.ConditionSucceeded), Finished: line(s, v1alpha1.ConditionFinished),
		Kstatus:  Kstatus(s),
		Observed: s.Status.ObservedGeneration != nil && *s.Status.ObservedGeneration == s.Generation,
	}
	state.Suspended, _, _ = strings.Cut(line(s, v1alpha1.ConditionSuspended), " ")
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if meta.FindStatusCondition(s.Status.Conditions, kind) != nil {
			state.Present += kind
		}
	}
	return state
}

func line(s *v1alpha1.Session, kind string) string {
	c := meta.FindStatusCondition(s.Status.Conditions, kind)
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("%s %s", c.Status, c.Reason)
}

// Kstatus is what kstatus reads in a Session.
func Kstatus(s *v1alpha1.Session) status.Status {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
	if err != nil {
		return status.UnknownStatus
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		return status.UnknownStatus
	}
	return result.Status
}

var (
	always = []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionCredentialsResolved, v1alpha1.ConditionNetworkIsolated, v1alpha1.ConditionSandboxReady,
		v1alpha1.ConditionSuspended, v1alpha1.ConditionSucceeded, v1alpha1.ConditionFinished,
	}
	whileTrue = []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled}
	ofKeys    = []string{
		v1alpha1.ReasonCredentialNotFound, v1alpha1.ReasonCredentialNotReady, v1alpha1.ReasonCredentialNotAllowed,
		v1alpha1.ReasonProviderNotFound, v1alpha1.ReasonProviderNotReady,
		v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonSecretNotReadable, v1alpha1.ReasonKeyMalformed, v1alpha1.ReasonTokenKindDenied,
		v1alpha1.ReasonSubscriptionTokenRefused, v1alpha1.ReasonEndpointsChanged, v1alpha1.ReasonKeyRejected, v1alpha1.ReasonRateLimited, v1alpha1.ReasonQuotaExhausted,
	}
)

// Malformed lists what a reconciled status must never be, whatever the situation.
func Malformed(s *v1alpha1.Session) []string {
	var problems []string
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if observed := s.Status.ObservedGeneration; observed == nil || *observed > s.Generation {
		complain("observedGeneration %v of generation %d", observed, s.Generation)
	}
	for _, kind := range always {
		if meta.FindStatusCondition(s.Status.Conditions, kind) == nil {
			complain("condition %s is missing", kind)
		}
	}
	problems = append(problems, malformedConditions(s)...)
	if meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionReconciling) && meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionStalled) {
		complain("Reconciling and Stalled at the same time")
	}
	ready, keys := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady), line(s, v1alpha1.ConditionCredentialsResolved)
	if ready != nil && slices.Contains(ofKeys, ready.Reason) && keys != "False "+ready.Reason {
		complain("Ready is False for %s, but CredentialsResolved is %s", ready.Reason, keys)
	}
	return problems
}

// malformedConditions lists what is wrong with single conditions.
func malformedConditions(s *v1alpha1.Session) []string {
	var problems []string
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, c := range s.Status.Conditions {
		if !slices.Contains(always, c.Type) && (!slices.Contains(whileTrue, c.Type) || c.Status != metav1.ConditionTrue) {
			complain("condition %s is %s", c.Type, c.Status)
		}
		if c.ObservedGeneration != *s.Status.ObservedGeneration {
			complain("condition %s observed generation %d, the status %d", c.Type, c.ObservedGeneration, *s.Status.ObservedGeneration)
		}
		if problem := unreadable(c.Message); problem != "" {
			complain("message of %s %s: %q", c.Type, problem, c.Message)
		}
	}
	return problems
}

var fieldName = regexp.MustCompile(`^spec\.[a-z]`)

// unreadable says what is wrong with a message for people.
func unreadable(message string) string {
	switch {
	case message == "":
		return "is empty"
	case strings.ContainsAny(message, "\n\r\t"):
		return "has more than one line"
	case strings.HasSuffix(message, "."):
		return "ends with a dot"
	case strings.Contains(message, "%!"):
		return "is not formatted"
	case !unicode.IsUpper(rune(message[0])) && !fieldName.MatchString(message):
		return "does not begin with a capital letter"
	}
	return ""
}
