package session

import (
	"time"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// Pace of the runs after failures: doubling from the first to the last. A refused key is tried less often, since somebody
// has to do something about it first.
const (
	firstRun        = 10 * time.Second
	firstRunRefused = time.Minute
	lastRun         = 5 * time.Minute
)

// consequence is what follows from a class of failure.
type consequence struct {
	// retried gives the Session another run; counted counts the failure against backoffLimit.
	retried, counted bool
	// first is the time before the first retry.
	first time.Duration
}

// consequences of the failures that get another run; all others are final. An eviction is counted where the pod itself used too much, and would do so again.
var consequences = map[string]consequence{
	v1alpha1.FailureCloneFailed:                  {retried: true, counted: true, first: firstRun},
	v1alpha1.FailureAgentCrashed:                 {retried: true, counted: true, first: firstRun},
	v1alpha1.FailureProviderRateLimited:          {retried: true, counted: true, first: firstRun},
	v1alpha1.FailureProviderUnavailable:          {retried: true, counted: true, first: firstRun},
	v1alpha1.FailureProviderAuthenticationFailed: {retried: true, first: firstRunRefused},
	v1alpha1.FailureEvicted:                      {retried: true, first: firstRun},
	v1alpha1.FailureNodeLost:                     {retried: true, first: time.Second},
	v1alpha1.FailureStopped:                      {retried: true, counted: true, first: firstRun},
	v1alpha1.FailureResultLost:                   {retried: true, counted: true, first: firstRun},
}

// concluded is what follows from the ending of a run.
func concluded(w *world, e sandbox.Ending, podName string, run int32, started bool, now time.Time) *plan {
	end := &ending{Ending: e, run: run, podName: podName}
	if e.Class == "" {
		return &plan{phase: succeeded, reason: v1alpha1.ReasonSucceeded, message: "The agent finished its work" + unsaved(e), ended: end}
	}
	if e.Class == v1alpha1.FailureDeadlineExceeded {
		end.Message = w.deadlineMessage()
	}
	end.Message = withLoss(end.Message, e)
	c := consequences[e.Class]
	end.counted = c.counted || e.Overused
	if c.retried && mayRepeat(w, e, started) && (!end.counted || failures(w) < w.terms().BackoffLimit) {
		end.retried = true
		end.next = now.Add(max(pause(c.first, retries(w)), e.RetryAfter))
		return &plan{phase: retrying, reason: e.Class, message: retryMessage(end.Message, end.next), ended: end, wake: end.next}
	}
	return &plan{phase: failed, reason: e.Class, message: end.Message, ended: end}
}

// onVolume is true when the workspace of a run was a volume, which outlives the pod: by what the run was told, and where that
// cannot be seen, by what is there or is asked for.
func (w *world) onVolume(run int32) bool {
	if c := w.configOf(run); c != nil {
		if config, err := contract.DecodeConfig([]byte(c.Data[contract.ConfigFile])); err == nil {
			return config.KeepWorkspace
		}
	}
	ofClass := w.class != nil && w.class.Spec.Workspace != nil
	return w.workspace != nil || w.session.Spec.Workspace != nil || ofClass
}

// mayRepeat is false when a run whose result is unknown may have pushed something: doing it again could do it twice.
func mayRepeat(w *world, e sandbox.Ending, started bool) bool {
	if e.Class != v1alpha1.FailureResultLost || !started {
		return true
	}
	if e.Report.Interim {
		return !e.Report.PushStarted
	}
	for _, r := range w.session.Spec.Repositories {
		if r.PushBranch != "" {
			return false
		}
	}
	return true
}

// pause is the time before the next run, doubled for every retry so far.
func pause(first time.Duration, retries int32) time.Duration {
	for ; retries > 0 && first < lastRun; retries-- {
		first *= 2
	}
	return min(first, lastRun)
}

func failures(w *world) int32 { return value(w.session.Status.Failures) }

func retries(w *world) int32 { return value(w.session.Status.Retries) }

// value is what a pointer points to, or zero.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
