package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/bench/program"
)

// sighting is what one event of a watch tells of a Session or a pod.
type sighting struct {
	name string
	// created says that there is a pod, ended that it all has ended well, settled that nobody will write any more.
	created, ended, settled bool
	// failure is how it ended otherwise.
	failure string
}

// lookAtSession sees the end of a Session.
func lookAtSession(o client.Object) sighting {
	s := o.(*v1alpha1.Session)
	seen := sighting{name: s.Name, ended: meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionSucceeded)}
	if !seen.ended && meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionFinished) {
		seen.failure = meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady).Message
	}
	return seen
}

// lookAtSandbox sees a Session's pod, which the manager lets go of last.
func lookAtSandbox(o client.Object) sighting {
	pod := o.(*corev1.Pod)
	over := pod.Status.Phase == corev1.PodSucceeded && !slices.Contains(pod.Finalizers, v1alpha1.FinalizerResult)
	return sighting{name: pod.Labels[v1alpha1.LabelSession], created: true, settled: over}
}

// lookAtPod sees a pod of the baseline.
func lookAtPod(o client.Object) sighting {
	pod := o.(*corev1.Pod)
	over := pod.Status.Phase == corev1.PodSucceeded
	seen := sighting{name: pod.Name, created: true, ended: over, settled: over}
	if pod.Status.Phase == corev1.PodFailed {
		seen.failure = pod.Status.Message
	}
	return seen
}

// life is when things happened to one Session or pod, as seen by the client that created it.
type life struct{ began, created, ended, settled time.Time }

// tracker writes down lives.
type tracker struct {
	fail func(error)
	done chan struct{}

	mu    sync.Mutex
	lives map[string]*life
	// open is how many have not ended and settled.
	open int
}

func newTracker(names []string, fail func(error)) *tracker {
	t := &tracker{fail: fail, done: make(chan struct{}), lives: map[string]*life{}, open: len(names)}
	for _, name := range names {
		t.lives[name] = &life{}
	}
	return t
}

// begin is called right before an object is created.
func (t *tracker) begin(name string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lives[name].began = at
}

// note writes down what was seen for the first time. Objects that are not of this load are passed over.
func (t *tracker) note(s sighting, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lives[s.name]
	if l == nil || l.closed() {
		return
	}
	stamp(&l.created, s.created || s.ended, at) // the watch of Sessions may be ahead of that of pods
	stamp(&l.ended, s.ended, at)
	stamp(&l.settled, s.settled, at)
	if s.failure != "" {
		t.fail(fmt.Errorf("%s failed: %s", s.name, s.failure))
	}
	if l.closed() {
		if t.open--; t.open == 0 {
			close(t.done)
		}
	}
}

func (l *life) closed() bool { return !l.ended.IsZero() && !l.settled.IsZero() }

func stamp(field *time.Time, seen bool, at time.Time) {
	if seen && field.IsZero() {
		*field = at
	}
}

// wait waits for the last, and tells how far things are while that takes long.
func (t *tracker) wait(ctx context.Context, detail io.Writer) error {
	tick := time.NewTicker(program.SignOfLife)
	defer tick.Stop()
	for {
		select {
		case <-t.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			created, ended, all := t.progress()
			_, _ = fmt.Fprintf(detail, "%d pods created and %d ended, of %d\n", created, ended, all)
		}
	}
}

func (t *tracker) progress() (created, ended, all int) {
	for _, l := range t.all() {
		if !l.created.IsZero() {
			created++
		}
		if !l.ended.IsZero() {
			ended++
		}
	}
	return created, ended, len(t.lives)
}

func (t *tracker) all() []life {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lives []life
	for _, l := range t.lives {
		lives = append(lives, *l)
	}
	return lives
}
