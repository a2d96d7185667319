package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// search is what came of looking for the key where the agent could: the environment and arguments of every process that it can read, and every file that
// it may have written or been given. What there is goes out of the sandbox and is searched here, so that the key never goes in.
type search struct {
	looked, times int
	found         bool
	err           error
}

// collect prints what an agent can see of its surroundings, and fails where it cannot. Files change while they are read, of which tar says 1.
const collect = `cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null
for place in /home /tmp /dev/shm /workspace /sandkeep/config /sandkeep/private /sandkeep/credentials; do [ -e "$place" ] && set -- "$@" "$place"; done
tar -cf - --ignore-failed-read "$@" 2>/dev/null; [ $? -le 1 ]`

// String is what the demo says of the search.
func (s search) String() string {
	switch {
	case s.err != nil:
		return fmt.Sprintf("not known, since the sandbox could not be searched: %v", s.err)
	case s.found:
		return "yes: it was found in the sandbox"
	case s.looked == 0:
		return "not known, since the sandbox had ended before it was searched"
	}
	when := "when it began to work"
	if s.times > 1 {
		when += ", and after the provider's first answer"
	}
	return fmt.Sprintf("none (searched %d KiB, %s: the environment of every process that it can read, and every file that it may write or was given)", s.looked>>10, when)
}

// searchSandbox looks for the key in a pod once its agent is at work, and again when the key has been used.
func (f *follower) searchSandbox(ctx context.Context, pod string) {
	for _, is := range []func(*v1alpha1.Session) bool{atWork, answered} {
		if err := f.waitUntil(ctx, pod, is); err != nil {
			return // it ended before
		}
		f.searchOnce(ctx, pod)
	}
}

func atWork(s *v1alpha1.Session) bool {
	return meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionSandboxReady)
}

func answered(s *v1alpha1.Session) bool { return s.Status.Usage != nil }

// searchOnce adds to what came of it. A sandbox that ends meanwhile has been searched before.
func (f *follower) searchOnce(ctx context.Context, pod string) {
	request := f.clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: sandbox.AgentContainer, Command: []string{"sh", "-c", collect}, Stdout: true}, clientgoscheme.ParameterCodec)
	config, err := f.Config()
	if err != nil {
		f.search.err = err
		return
	}
	stream, err := remotecommand.NewWebSocketExecutor(config, "GET", request.URL().String())
	if err != nil {
		f.search.err = err
		return
	}
	err = stream.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &finder{search: &f.search, forms: forms(f.payer.key)}})
	switch {
	case err == nil:
		f.search.times++
	case f.search.times == 0:
		f.search.err = err
	}
}

// forms are the ways in which the key is looked for.
func forms(key string) [][]byte {
	return [][]byte{[]byte(key), []byte(base64.StdEncoding.EncodeToString([]byte(key))), []byte(base64.RawURLEncoding.EncodeToString([]byte(key)))}
}

// finder is a writer that looks for the key in what is written to it, across the borders of writes.
type finder struct {
	*search
	forms [][]byte
	tail  []byte
}

func (w *finder) Write(p []byte) (int, error) {
	text := slices.Concat(w.tail, p)
	keep := 0
	for _, form := range w.forms {
		w.found = w.found || bytes.Contains(text, form)
		keep = max(keep, len(form)-1)
	}
	w.looked += len(p)
	w.tail = bytes.Clone(text[max(0, len(text)-keep):])
	return len(p), nil
}

// waitUntil waits until something is so of the Session, while it works in a pod.
func (f *follower) waitUntil(ctx context.Context, name string, is func(*v1alpha1.Session) bool) error {
	return wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		s := &v1alpha1.Session{}
		if err := f.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: f.cast.session.Name}, s); err != nil {
			return false, err
		}
		if s.Status.PodName != name || meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionFinished) {
			return false, errors.New("the sandbox has ended")
		}
		return is(s), nil
	})
}
