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

// search is what came of looking for the key where the agent could: the environment and arguments of every process, and every file that it may
// have written or been given. What there is goes out of the sandbox and is searched here, so that the key never goes in.
type search struct {
	looked int
	found  bool
	err    error
}

// collect prints what an agent can see of its surroundings.
const collect = `cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; tar -cf - --ignore-failed-read /home /tmp /workspace /sandkeep/config /sandkeep/private /sandkeep/credentials 2>/dev/null; true`

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
	return fmt.Sprintf("none (searched %d KiB: the environment of every process, and every file that the agent may write or was given)", s.looked>>10)
}

// searchSandbox looks for the key in a pod once its agent is at work.
func (f *follower) searchSandbox(ctx context.Context, pod string) {
	if err := f.waitForWork(ctx, pod); err != nil {
		return // it ended before
	}
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
	f.search.err = stream.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &finder{search: &f.search, forms: forms(f.payer.key)}})
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

// waitForWork waits until the agent of a pod is at work.
func (f *follower) waitForWork(ctx context.Context, name string) error {
	return wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		s := &v1alpha1.Session{}
		if err := f.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: f.cast.session.Name}, s); err != nil {
			return false, err
		}
		if s.Status.PodName != name || meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionFinished) {
			return false, errors.New("the sandbox has ended")
		}
		return meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionSandboxReady), nil
	})
}
