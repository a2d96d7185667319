package session

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// maxConditionMessage keeps a status readable, in bytes.
const maxConditionMessage = 1024

// verdict is what one condition says.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

// conditionSetter writes conditions of one generation at one time.
type conditionSetter struct {
	status     *v1alpha1.SessionStatus
	generation int64
	now        time.Time
}

func (c conditionSetter) set(kind string, v verdict) {
	meta.SetStatusCondition(&c.status.Conditions, metav1.Condition{
		Type: kind, Status: v.status, Reason: v.reason, Message: contract.OneLine(v.message, maxConditionMessage),
		ObservedGeneration: c.generation, LastTransitionTime: metav1.NewTime(c.now.Truncate(time.Second)),
	})
}

// setOnlyTrue sets a condition that is present only while it is true; nil takes it away.
func (c conditionSetter) setOnlyTrue(kind string, v *verdict) {
	if v == nil {
		meta.RemoveStatusCondition(&c.status.Conditions, kind)
		return
	}
	c.set(kind, *v)
}

func truth(b bool) metav1.ConditionStatus {
	if b {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

func credentialsResolved(s *v1alpha1.SessionStatus, w *world, p plan) verdict {
	switch {
	case p.missing != nil:
		return verdict{metav1.ConditionFalse, p.missing.Reason, p.missing.Message}
	case s.Run != nil || len(s.Credentials) > 0:
		return verdict{metav1.ConditionTrue, v1alpha1.ReasonResolved, resolvedMessage(s)}
	case w.class == nil:
		return verdict{metav1.ConditionUnknown, v1alpha1.ReasonNotResolved, "The class says which credentials are needed"}
	default:
		return verdict{metav1.ConditionUnknown, v1alpha1.ReasonNotResolved, "Credentials are resolved when the first run starts"}
	}
}

func resolvedMessage(s *v1alpha1.SessionStatus) string {
	if len(s.Credentials) == 0 {
		return "The class needs no credentials"
	}
	payers := make([]string, 0, len(s.Credentials))
	for _, c := range s.Credentials {
		payers = append(payers, fmt.Sprintf("%s %s for %s", c.Ref.Kind, c.Ref.Name, c.Provider))
	}
	return "Paid by " + strings.Join(payers, ", ") + passedOver(s.Credentials)
}

// passedOver says which credentials of the namespace's own others were used for; empty where none were. A remedy in it comes last, since it may be a command.
func passedOver(credentials []v1alpha1.ResolvedCredential) string {
	var text strings.Builder
	for _, c := range credentials {
		if c.PassedOver != "" {
			fmt.Fprintf(&text, "; by fallback Shared of the class, since when the Session started: %s", c.PassedOver)
		}
	}
	return text.String()
}

func sandboxReady(p plan) verdict {
	switch {
	case p.phase == running, p.phase == hindered:
		return verdict{metav1.ConditionTrue, v1alpha1.ReasonRunning, atWorkMessage(p.pod)}
	case p.pod != nil:
		return verdict{metav1.ConditionFalse, p.reason, p.message}
	default:
		return verdict{metav1.ConditionFalse, v1alpha1.ReasonNoSandbox, "There is no live pod"}
	}
}

func suspendedCondition(p plan) verdict {
	if p.phase == suspended {
		return verdict{metav1.ConditionTrue, v1alpha1.ReasonRequested, p.message}
	}
	return verdict{metav1.ConditionFalse, v1alpha1.ReasonNotSuspended, "The Session is not suspended"}
}

func succeededCondition(p plan) verdict {
	switch p.phase {
	case succeeded:
		return verdict{metav1.ConditionTrue, v1alpha1.ReasonSucceeded, p.message}
	case failed:
		return verdict{metav1.ConditionFalse, p.reason, p.message}
	case waiting, starting, running, hindered, stopping, suspended, retrying, impossible:
	}
	return verdict{metav1.ConditionUnknown, v1alpha1.ReasonNotFinished, "The Session has not finished"}
}

func finishedCondition(p plan) verdict {
	if p.phase == succeeded || p.phase == failed {
		return verdict{metav1.ConditionTrue, p.reason, p.message}
	}
	return verdict{metav1.ConditionFalse, v1alpha1.ReasonNotFinished, "The Session has not finished"}
}

// reconciling is true while something is under way that ends by itself.
func reconciling(p plan) *verdict {
	switch p.phase {
	case retrying:
		return &verdict{metav1.ConditionTrue, v1alpha1.ReasonRetrying, p.message}
	case starting, stopping:
		return &verdict{metav1.ConditionTrue, p.reason, p.message}
	case waiting, running, hindered, suspended, succeeded, failed, impossible:
	}
	return nil
}

// stalled is true once nothing happens without somebody's help.
func stalled(p plan) *verdict {
	if p.phase == failed || p.phase == impossible {
		return &verdict{metav1.ConditionTrue, p.reason, p.message}
	}
	return nil
}
