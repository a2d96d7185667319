package session

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	applyv1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// report writes the status, once and only when it differs, and then tells of the transitions in events.
func (r *Reconciler) report(ctx context.Context, w *world, p plan, now time.Time) error {
	status := statusFor(w, p, now)
	if equality.Semantic.DeepEqual(status, w.session.Status) {
		return nil
	}
	apply, err := applyConfiguration(w.session, status)
	if err != nil {
		return err
	}
	err = r.Client.Status().Apply(ctx, apply, client.FieldOwner(v1alpha1.FieldOwnerManager), client.ForceOwnership)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the status of the Session: %w", err)
	}
	r.announce(w, p, status)
	r.Metrics.transition(w, p, status)
	return nil
}

// applyConfiguration carries a status, with the resourceVersion that it was computed from as optimistic lock, and without what the gateway
// writes.
func applyConfiguration(s *v1alpha1.Session, status v1alpha1.SessionStatus) (*applyv1alpha1.SessionApplyConfiguration, error) {
	status.LastActivityTime, status.CredentialsInUse = nil, nil
	if metered(status.Credentials) {
		status.Usage = nil
	}
	data, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("encode the status of the Session: %w", err)
	}
	fields := applyv1alpha1.SessionStatus()
	if err := json.Unmarshal(data, fields); err != nil {
		return nil, fmt.Errorf("encode the status of the Session: %w", err)
	}
	return applyv1alpha1.Session(s.Name, s.Namespace).WithUID(s.UID).WithResourceVersion(s.ResourceVersion).WithStatus(fields), nil
}

// statusFor is the status of a Session: what is remembered, with what this reconcile found. It is pure.
func statusFor(w *world, p plan, now time.Time) v1alpha1.SessionStatus {
	s := *w.session.Status.DeepCopy()
	s.ObservedGeneration = new(w.session.Generation)
	recordPin(&s, p.pin)
	if p.pod != nil {
		recordPod(&s, p)
	}
	if p.ended != nil {
		recordOrigin(&s, p.ended.pod)
		recordEnding(&s, p.ended)
	}
	switch p.phase {
	case succeeded, failed:
		recordEnd(&s, p, now)
	case suspended:
		s.StartTime, s.NextRunTime = nil, nil // the deadline counts anew from the resumption, as for a Job
	case waiting, starting, running, hindered, stopping, retrying, impossible:
	}
	setConditions(&s, w, p, now)
	return s
}

// recordPod takes over what a live pod says of its Session.
func recordPod(s *v1alpha1.SessionStatus, p plan) {
	s.Run = new(sandbox.RunOf(p.pod))
	s.PodName, s.PodUID = p.pod.Name, string(p.pod.UID)
	s.NextRunTime = nil
	recordOrigin(s, p.pod)
}

// recordOrigin takes over what a run was made from. A crash can keep it from status until the pod has ended.
func recordOrigin(s *v1alpha1.SessionStatus, pod *corev1.Pod) {
	if pod == nil {
		return
	}
	if s.ClassName == "" {
		s.ClassName = pod.Labels[v1alpha1.LabelClass] // which somebody may change later
	}
	if s.StartTime == nil {
		s.StartTime = new(pod.CreationTimestamp)
	}
}

// recordPin remembers who pays, from the moment on at which that was decided, though the pod may be refused for long.
func recordPin(s *v1alpha1.SessionStatus, pin []v1alpha1.ResolvedCredential) {
	if s.Credentials == nil {
		s.Credentials = orNil(pin)
		s.Auth = auth(s.Credentials)
	}
}

// auth says in short who pays.
func auth(credentials []v1alpha1.ResolvedCredential) string {
	if len(credentials) == 0 {
		return ""
	}
	return string(credentials[0].Source) + "/" + string(credentials[0].Method)
}

// orNil is the list, or nil when it is empty, since an empty list is not stored.
func orNil(list []v1alpha1.ResolvedCredential) []v1alpha1.ResolvedCredential {
	if len(list) == 0 {
		return nil
	}
	return list
}

// recordEnding takes over what a run left.
func recordEnding(s *v1alpha1.SessionStatus, e *ending) {
	s.Run, s.PodName, s.PodUID = new(e.run), e.podName, ""
	s.NextRunTime = nil
	if !metered(s.Credentials) {
		s.Usage = sum(s.Usage, e.Report.Usage)
	}
	if result := resultOf(e.Report); result != nil {
		s.Result = result
	}
	s.Failure = nil
	if e.Class != "" {
		s.Failure = &v1alpha1.SessionFailure{Class: e.Class, Message: contract.Clean(e.Message, 4096)}
	}
	if e.counted {
		s.Failures = new(value(s.Failures) + 1)
	}
	if e.retried {
		s.Retries = new(value(s.Retries) + 1)
		s.NextRunTime = new(metav1.NewTime(e.next.Truncate(time.Second)))
	}
}

// metered is true where the gateway counts what is used, and what an agent says of it does not matter.
func metered(credentials []v1alpha1.ResolvedCredential) bool {
	return slices.ContainsFunc(credentials, func(c v1alpha1.ResolvedCredential) bool { return c.Delivery == v1alpha1.DeliveryProxy })
}

// resultOf is what a report says was left, or nil. A commit that was not pushed has no branch.
func resultOf(r contract.Report) *v1alpha1.SessionResult {
	result := &v1alpha1.SessionResult{Summary: contract.Clean(r.Summary, 4096)}
	for _, c := range r.Commits {
		commit := v1alpha1.Commit{Repository: c.Repository, Commit: c.Commit}
		if c.Pushed {
			commit.Branch = c.Branch
		}
		if len(result.Commits) < 10 && wellFormed(c) {
			result.Commits = append(result.Commits, commit)
		}
	}
	if result.Summary == "" && len(result.Commits) == 0 {
		return nil
	}
	return result
}

// wellFormed keeps claims out of status that the schema would refuse, and the whole status with them, or that a terminal
// would obey.
func wellFormed(c contract.Commit) bool {
	hex := strings.Trim(c.Commit, "0123456789abcdef") == ""
	return hex && len(c.Commit) >= 7 && len(c.Commit) <= 64 &&
		c.Repository != "" && contract.OneLine(c.Repository, 2048) == c.Repository && contract.OneLine(c.Branch, 255) == c.Branch
}

// sum adds what a run used.
func sum(u *v1alpha1.Usage, add contract.Usage) *v1alpha1.Usage {
	if add == (contract.Usage{}) {
		return u
	}
	var total v1alpha1.Usage
	if u != nil {
		total = *u
	}
	total.Requests = plus(total.Requests, add.Requests)
	total.InputTokens = plus(total.InputTokens, add.InputTokens)
	total.OutputTokens = plus(total.OutputTokens, add.OutputTokens)
	if total.InputTokens != nil || total.OutputTokens != nil {
		total.TotalTokens = new(value(total.InputTokens) + value(total.OutputTokens))
	}
	return &total
}

// maxUsage is the greatest count that every reader of JSON understands (RFC 8259, section 6).
const maxUsage = 1 << 53

// plus adds a claim, which may be absurd, without going below what is there or beyond what a status can hold.
func plus(have *int64, add int64) *int64 {
	if have == nil && add == 0 {
		return nil
	}
	return new(min(value(have)+min(max(add, 0), maxUsage), maxUsage))
}

// recordEnd closes a Session.
func recordEnd(s *v1alpha1.SessionStatus, p plan, now time.Time) {
	s.PodUID, s.NextRunTime = "", nil
	if s.CompletionTime == nil {
		s.CompletionTime = new(metav1.NewTime(now.Truncate(time.Second)))
	}
	if p.phase == failed && (s.Failure == nil || s.Failure.Class != p.reason) {
		s.Failure = &v1alpha1.SessionFailure{Class: p.reason, Message: contract.Clean(p.message, 4096)}
	}
}

// setConditions derives all conditions from the phase. Ready comes last, from the same phase.
func setConditions(s *v1alpha1.SessionStatus, w *world, p plan, now time.Time) {
	c := conditionSetter{status: s, generation: w.session.Generation, now: now}
	c.set(v1alpha1.ConditionCredentialsResolved, credentialsResolved(s, w, p))
	c.set(v1alpha1.ConditionNetworkIsolated, verdict{metav1.ConditionUnknown, v1alpha1.ReasonNotVerified,
		"Nothing verifies isolation; what the sandbox reaches is up to the cluster's own policies"})
	c.set(v1alpha1.ConditionSandboxReady, sandboxReady(p))
	c.set(v1alpha1.ConditionSuspended, suspendedCondition(p))
	c.set(v1alpha1.ConditionSucceeded, succeededCondition(p))
	c.set(v1alpha1.ConditionFinished, finishedCondition(p))
	c.setOnlyTrue(v1alpha1.ConditionReconciling, reconciling(p))
	c.setOnlyTrue(v1alpha1.ConditionStalled, stalled(p))
	c.set(v1alpha1.ConditionReady, verdict{truth(p.phase == running || p.phase == suspended || p.phase == succeeded), p.reason, p.message})
}

// capitalize makes the first letter of a message a capital one.
func capitalize(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
