package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/hack/bench/meter"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// What the benchmark's objects are called. All of them carry the label, by which they are found again.
const (
	ours        = "sandkeep-bench"
	partOf      = "app.kubernetes.io/part-of"
	forSessions = "sandkeep-bench-sessions"
	forBaseline = "sandkeep-bench-baseline"
)

// Paces of waiting.
const (
	glance    = 100 * time.Millisecond
	readyTime = 2 * time.Minute
)

//go:embed stages.yaml
var stagesTemplate string

// stages are what kwok plays: each agent works for a time, and then tells of success as sandboxd would.
func stages(work time.Duration) ([]byte, error) {
	report, err := contract.Report{Outcome: contract.OutcomeSucceeded, Summary: "Nothing was done, and that quickly."}.Encode(4096)
	if err != nil {
		return nil, err
	}
	t, err := template.New("stages").Delims("[[", "]]").Parse(stagesTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Selector": partOf + "=" + ours, "WorkMilliseconds": work.Milliseconds(), "Report": string(report),
	})
	return out.Bytes(), err
}

// startNodes makes namespaces and nodes, and lets kwok play the nodes' kubelets.
func (b *bench) startNodes(ctx context.Context, _ io.Writer) error {
	if err := b.clear(ctx); err != nil {
		return fmt.Errorf("remove what an earlier benchmark left: %w", err)
	}
	b.Undo("Remove the fake nodes and everything on them", func(ctx context.Context, _ io.Writer) error { return b.clear(ctx) })
	if err := b.startKwok(ctx); err != nil {
		return err
	}
	for i := range b.nodes {
		if err := b.client.Create(ctx, fakeNode(i)); err != nil {
			return fmt.Errorf("create a fake node: %w", err)
		}
	}
	for _, name := range []string{forSessions, forBaseline} {
		if err := b.client.Create(ctx, &corev1.Namespace{ObjectMeta: objectMeta("", name)}); err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	return errors.Join(b.nodesReady(ctx), b.accountsExist(ctx))
}

func (b *bench) startKwok(ctx context.Context) error {
	text, err := stages(b.work)
	if err != nil {
		return err
	}
	file, kubeconfig := filepath.Join(b.Scratch, "stages.yaml"), filepath.Join(b.Scratch, "kwok.kubeconfig")
	gate, err := meter.Open(ctx, b.config, io.Discard)
	if err != nil {
		return err
	}
	b.Undo("Stop kwok's way to the cluster", func(context.Context, io.Writer) error { return gate.Close() })
	if err := errors.Join(gate.WriteKubeconfig(kubeconfig), os.WriteFile(file, text, 0o644)); err != nil {
		return err
	}
	kwok, err := b.Start("kwok", []string{"KWOK_WORKDIR=" + b.Scratch}, "--config", file, "--kubeconfig", kubeconfig)
	if err != nil {
		return err
	}
	b.Undo("Stop kwok", func(context.Context, io.Writer) error { kwok.Stop(); return nil })
	return nil
}

func objectMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{partOf: ours}}
}

// fakeNode takes nothing but what asks for it.
func fakeNode(i int) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: objectMeta("", fmt.Sprintf("%s-%d", ours, i)),
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: ours, Effect: corev1.TaintEffectNoSchedule}}},
	}
}

func (b *bench) nodesReady(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, glance, readyTime, true, func(ctx context.Context) (bool, error) {
		var list corev1.NodeList
		if err := b.client.List(ctx, &list, client.MatchingLabels{partOf: ours}); err != nil {
			return false, err
		}
		ready := 0
		for i := range list.Items {
			if takesPods(&list.Items[i]) {
				ready++
			}
		}
		return ready == b.nodes, nil
	})
	if err != nil {
		return fmt.Errorf("the fake nodes do not become ready: %w", err)
	}
	return nil
}

// takesPods is true once a node is ready and the taint that says otherwise is gone.
func takesPods(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// accountsExist waits for what the API server wants to see before it takes a pod.
func (b *bench) accountsExist(ctx context.Context) error {
	for _, namespace := range []string{forSessions, forBaseline} {
		err := wait.PollUntilContextTimeout(ctx, glance, readyTime, true, func(ctx context.Context) (bool, error) {
			err := b.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
			return err == nil, client.IgnoreNotFound(err)
		})
		if err != nil {
			return fmt.Errorf("namespace %s gets no ServiceAccount: %w", namespace, err)
		}
	}
	return nil
}
