package session

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
	"github.com/sandkeep/sandkeep/internal/owner"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// The checks of a Session without a live pod: may it have one, and what is it made of.

func suspendedNow(w *world, _ time.Time) *plan {
	if !w.suspended() {
		return nil
	}
	p := suspendedPlan(w)
	if was := w.wasReady(); was.Reason == p.reason {
		p.message = was.Message // which may tell of work that is gone
	}
	return p
}

func suspendedPlan(w *world) *plan {
	message := "spec.suspend is true; set it to false to go on"
	if w.suspended() {
		return &plan{phase: suspended, reason: v1alpha1.ReasonSuspended, message: message}
	}
	return &plan{phase: starting, reason: v1alpha1.ReasonStarting, message: "The Session is being resumed"}
}

// unsaved warns of work that went with a workspace that was not a volume.
func unsaved(e sandbox.Ending) string {
	const because = "since the Session has no workspace volume (spec.workspace)"
	if e.Untold {
		return "; work that was not pushed is gone with the pod, " + because
	}
	var lost []string
	if e.Report.UnsavedChanges {
		lost = append(lost, "changes that were on no branch")
	}
	if e.Report.LooseFiles {
		lost = append(lost, "files that belong to no repository")
	}
	if !e.WorkspaceGone || len(lost) == 0 {
		return ""
	}
	return "; " + strings.Join(lost, " and ") + " are gone, " + because
}

// withLoss adds to a failure what was lost by it. A long message gives way, since a condition is cut at its end, where this and the
// time of the next run stand.
func withLoss(message string, e sandbox.Ending) string {
	const nextRun = 64
	lost := unsaved(e)
	if lost == "" {
		return message
	}
	return contract.OneLine(message, maxConditionMessage-len(lost)-nextRun) + lost
}

func backingOff(w *world, now time.Time) *plan {
	next := w.session.Status.NextRunTime
	if next == nil || !now.Before(next.Time) {
		return nil
	}
	p := &plan{phase: retrying, wake: next.Time}
	if f := w.session.Status.Failure; f != nil {
		p.reason, p.message = f.Class, retryMessage(f.Message, next.Time)
	}
	return p
}

func retryMessage(message string, next time.Time) string {
	return fmt.Sprintf("%s; the next run starts at %s", message, next.UTC().Format(time.RFC3339))
}

func leftoversPresent(w *world, _ time.Time) *plan {
	if len(w.leftovers) == 0 {
		return nil
	}
	return &plan{phase: waiting, reason: v1alpha1.ReasonTerminating, message: fmt.Sprintf(
		"Pod %q of an earlier Session of this name is still ending", w.leftovers[0].Name)}
}

func classMissing(w *world, _ time.Time) *plan {
	p := &plan{phase: waiting, reason: v1alpha1.ReasonClassNotFound}
	switch {
	case w.class == nil && w.className == "":
		p.message = fmt.Sprintf("No SessionClass has the annotation %s=true; name a class in spec.className of a new Session, or ask an admin for a default class",
			v1alpha1.AnnotationDefaultClass)
	case w.class == nil:
		p.message = fmt.Sprintf("SessionClass %q not found; create it, or make a new Session with another class", w.className)
	default:
		problem := notReady(w.class)
		if problem == "" {
			return nil
		}
		p.reason = v1alpha1.ReasonClassNotReady
		p.message = fmt.Sprintf("SessionClass %q is not ready: %s", w.class.Name, problem)
	}
	return p
}

// notReady says why a class cannot be used. The template is looked at itself, since the class's own status may lag behind
// its spec.
func notReady(class *v1alpha1.SessionClass) string {
	if problem := sandbox.InvalidTemplate(class); problem != "" {
		return problem
	}
	ready := meta.FindStatusCondition(class.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.ObservedGeneration < class.Generation {
		return "it is new, and is being checked"
	}
	if ready.Status != "True" {
		return ready.Message
	}
	return ""
}

// What an owner may use is asked again while a Session waits, since no watch tells of it: every half minute, and up to a fifth later, so that the
// Sessions of a team that waits for one permission do not all ask at once.
const (
	askAgain = 30 * time.Second
	spread   = 6 * time.Second
)

// nextQuestion is when to ask again what the owner may use, if anything was denied.
func nextQuestion(w *world, now time.Time) time.Time {
	if len(w.unusable) == 0 {
		return time.Time{}
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(w.session.UID))
	return now.Add(askAgain + time.Duration(hash.Sum64()%uint64(spread)))
}

func classNotAllowed(w *world, now time.Time) *plan {
	class := owner.Class(w.class.Name)
	if slices.Contains(w.usable, class) {
		return nil
	}
	return &plan{
		phase: waiting, reason: v1alpha1.ReasonClassNotAllowed, message: owner.Denied(w.session.Spec.Owner, class), wake: nextQuestion(w, now),
	}
}

func moreThanPermitted(w *world, _ time.Time) *plan {
	problem := sandbox.OverLimit(w.session, w.class)
	if problem == "" {
		return nil
	}
	return &plan{phase: impossible, reason: v1alpha1.ReasonInvalidForClass, message: problem}
}

func credentialsMissing(w *world, now time.Time) *plan {
	_, missing := w.resolve()
	if missing == nil {
		return nil
	}
	return &plan{phase: waiting, reason: missing.Reason, message: missing.Message, missing: missing, wake: nextQuestion(w, now)}
}

func gatewayMissing(w *world, _ time.Time) *plan {
	resolved, _ := w.resolve()
	if w.gateway != nil || !slices.ContainsFunc(resolved, credential.Resolved.NeedsGateway) {
		return nil
	}
	return &plan{phase: waiting, reason: v1alpha1.ReasonGatewayNotReady, message: fmt.Sprintf(
		"Class %q needs keys by way of the gateway, whose certificates are not published yet; ask an admin to look at the keeper: kubectl -n %s get pods",
		w.class.Name, v1alpha1.NamespaceSystem)}
}

// nothingInTheWayToRun makes the sandbox: the volume, the configuration, and last the pod.
func nothingInTheWayToRun(w *world, _ time.Time) *plan {
	run := w.run() + 1
	config, data, err := w.configFor(run)
	if err != nil {
		return &plan{phase: impossible, reason: v1alpha1.ReasonInvalidForClass, message: capitalize(err.Error())}
	}
	wanted := sandbox.ConfigMap(w.session, w.class, run, data)
	p := &plan{phase: starting, reason: v1alpha1.ReasonStarting, message: "The sandbox is being made", pin: sandbox.PinOf(config)}
	if claim := sandbox.Workspace(w.session, w.class); claim != nil && w.workspace == nil {
		p.actions = append(p.actions, action{create, claim})
	}
	existing := w.configOf(run)
	if existing != nil && !maps.Equal(existing.Data, wanted.Data) {
		p.actions = append(p.actions, action{removeUnused, existing})
	}
	if existing == nil || !maps.Equal(existing.Data, wanted.Data) {
		p.actions = append(p.actions, action{create, wanted})
	}
	p.actions = append(p.actions, action{createPod, sandbox.Pod(sandbox.PodInput{
		Session: w.session, Class: w.class, Config: config, Digest: contract.Digest(data), Image: w.image,
	})})
	return p
}

// outdated is true for a pod that would be made in another way today.
func (w *world) outdated(pod *corev1.Pod) bool {
	if w.class == nil || notReady(w.class) != "" || !slices.Contains(w.usable, owner.Class(w.class.Name)) {
		return false
	}
	if _, missing := w.resolve(); missing != nil {
		return false
	}
	config, data, err := w.configFor(sandbox.RunOf(pod))
	today := sandbox.Pod(sandbox.PodInput{Session: w.session, Class: w.class, Config: config, Digest: contract.Digest(data), Image: w.image})
	return err == nil && today.Annotations[v1alpha1.AnnotationRecipe] != pod.Annotations[v1alpha1.AnnotationRecipe]
}

// configFor is the configuration of a run as it would be made today. Who pays was decided by the first ConfigMap of the Session, so that a
// crash between it and the pod does not choose the payer anew.
func (w *world) configFor(run int32) (contract.Config, []byte, error) {
	resolved, _ := w.resolve()
	config := sandbox.ConfigFor(sandbox.ConfigInput{
		Session: w.session, Class: w.class, Resolved: resolved, Providers: w.providers, Gateway: w.gateway, Run: run,
		HasVolume: w.workspace != nil,
	})
	data, err := config.Encode()
	return config, data, err
}
