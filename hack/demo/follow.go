package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/demo/scene"
	"github.com/sandkeep/sandkeep/hack/install"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// perform applies the Session and shows what happens until it has finished.
func (d *demo) perform(ctx context.Context) (*v1alpha1.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := d.progress.Step(d.applyTitle(), func(detail io.Writer) error {
		if err := d.apply(ctx); err != nil {
			return err
		}
		_, err := fmt.Fprintf(detail, "Secret %s in namespace %s, ClusterCredential %s, Session %s of class %s\n",
			d.cast.secret.Name, d.cast.secret.Namespace, d.cast.credential.Name, d.cast.session.Name, d.payer.class)
		return err
	})
	if err != nil {
		return nil, err
	}
	var last *v1alpha1.Session
	err = d.progress.Step("Follow Session "+d.cast.session.Name, func(detail io.Writer) (err error) {
		last, err = d.follow(ctx, detail)
		return err
	})
	return last, err
}

func (d *demo) applyTitle() string {
	const title = "Apply a Secret of the keep, a ClusterCredential and a Session"
	if d.payer.real {
		return title + ": from here on the key of ANTHROPIC_API_KEY pays"
	}
	return title
}

// follow prints every change of a condition, and the transcript of each run, until the Session has finished.
func (d *demo) follow(ctx context.Context, detail io.Writer) (*v1alpha1.Session, error) {
	f := &follower{demo: d, detail: detail, began: time.Now()}
	for ctx.Err() == nil {
		// A watch begins with the object as it is, and the API server ends it after a while.
		events, err := d.client.Watch(ctx, &v1alpha1.SessionList{}, client.InNamespace(namespace), client.MatchingFields{"metadata.name": d.cast.session.Name})
		if err != nil {
			return nil, fmt.Errorf("watch the Session: %w", err)
		}
		over := f.watch(ctx, events)
		events.Stop()
		if over {
			f.transcripts.Wait()
			d.search = f.search
			return f.last, nil
		}
	}
	return nil, fmt.Errorf("the Session does not finish: %w; see why with: %s -n %s describe session %s", ctx.Err(), d.kubectl(), namespace, d.cast.session.Name)
}

// follower remembers what was shown.
type follower struct {
	*demo
	detail      io.Writer
	began       time.Time
	last        *v1alpha1.Session
	pod         string
	transcripts sync.WaitGroup
	// search is what came of looking for the key in the sandbox.
	search search
}

// watch is true once the Session has finished.
func (f *follower) watch(ctx context.Context, events watch.Interface) bool {
	for e := range events.ResultChan() {
		session, ok := e.Object.(*v1alpha1.Session)
		if !ok {
			return false
		}
		f.showChanges(session)
		f.last = session.DeepCopy()
		if pod := session.Status.PodName; pod != "" && pod != f.pod {
			f.pod = pod
			f.transcripts.Go(func() { f.showTranscript(ctx, pod) })
			f.transcripts.Go(func() { f.searchSandbox(ctx, pod) })
		}
		if meta.IsStatusConditionTrue(session.Status.Conditions, v1alpha1.ConditionFinished) {
			return true
		}
	}
	return false
}

// showChanges prints the conditions that have another status or reason than before.
func (f *follower) showChanges(session *v1alpha1.Session) {
	var before []metav1.Condition
	if f.last != nil {
		before = f.last.Status.Conditions
	}
	for _, now := range session.Status.Conditions {
		was := meta.FindStatusCondition(before, now.Type)
		if was == nil && now.Status != metav1.ConditionTrue && now.Type != v1alpha1.ConditionReady {
			continue // at first most conditions say only that nothing has happened yet
		}
		if was == nil || was.Status != now.Status || was.Reason != now.Reason {
			f.say("%s=%s %s: %s", now.Type, now.Status, now.Reason, now.Message)
		}
	}
}

func (f *follower) say(format string, args ...any) {
	_, _ = fmt.Fprintf(f.detail, "%7s  %s\n", install.Seconds(time.Since(f.began)), fmt.Sprintf(format, args...))
}

// showTranscript prints what the agent says and does in a pod, as kubectl logs does.
func (f *follower) showTranscript(ctx context.Context, pod string) {
	if err := f.waitForAgent(ctx, pod); err != nil {
		return // the conditions say what keeps the agent from starting
	}
	stream, err := f.clientset.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: sandbox.AgentContainer, Follow: true}).Stream(ctx)
	if err != nil {
		f.say("The transcript cannot be shown: %v", err)
		return
	}
	defer func() { _ = stream.Close() }() // it was only read
	for lines := bufio.NewScanner(stream); lines.Scan(); {
		f.say("  | %s", lines.Text())
	}
}

func (f *follower) waitForAgent(ctx context.Context, name string) error {
	return wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		pod := &corev1.Pod{}
		if err := f.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, pod); err != nil {
			return false, err
		}
		state := scene.Container(pod, sandbox.AgentContainer)
		return state != nil && (state.Running != nil || state.Terminated != nil), nil
	})
}
