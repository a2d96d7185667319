package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

func TestStages(t *testing.T) {
	text, err := stages(1500 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var o struct {
			Kind     string
			Metadata struct{ Name string }
			Options  struct{ ManageNodesWithLabelSelector string }
			Spec     struct {
				Delay struct{ DurationMilliseconds int }
				Next  struct{ StatusTemplate string }
			}
		}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		names[o.Metadata.Name] = o.Kind
		if o.Kind == "KwokConfiguration" && o.Options.ManageNodesWithLabelSelector != "app.kubernetes.io/part-of=sandkeep-bench" {
			t.Errorf("kwok manages the nodes %q", o.Options.ManageNodesWithLabelSelector)
		}
		if o.Metadata.Name == "agent-has-succeeded" {
			wantReport(t, o.Spec.Next.StatusTemplate)
			if o.Spec.Delay.DurationMilliseconds != 1500 {
				t.Errorf("agents work for %d ms", o.Spec.Delay.DurationMilliseconds)
			}
		}
	}
	want := map[string]string{
		"": "KwokConfiguration", "node-is-ready": "Stage", "agent-is-at-work": "Stage", "agent-has-succeeded": "Stage", "pod-is-gone": "Stage",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// wantReport wants a termination message that the manager takes for a success.
func wantReport(t *testing.T, template string) {
	t.Helper()
	_, rest, _ := strings.Cut(template, "message: '")
	message, _, _ := strings.Cut(rest, "'")
	report, err := contract.DecodeReport(message)
	if err != nil || report.Outcome != contract.OutcomeSucceeded {
		t.Errorf("message %q: %+v, %v", message, report, err)
	}
}

func TestClassCanBecomeASandbox(t *testing.T) {
	if problem := sandbox.InvalidTemplate(class()); problem != "" {
		t.Error(problem)
	}
	node := fakeNode(0)
	spec := class().Spec.PodTemplate.Spec
	for key, value := range spec.NodeSelector {
		if node.Labels[key] != value {
			t.Errorf("the node has no label %s=%s", key, value)
		}
	}
	if taint, toleration := node.Spec.Taints[0], spec.Tolerations[0]; toleration.Key != taint.Key || toleration.Operator != corev1.TolerationOpExists {
		t.Error("the pod does not tolerate the node's taint")
	}
}

func TestTakesPods(t *testing.T) {
	ready := func(status corev1.ConditionStatus, taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{
			Spec:   corev1.NodeSpec{Taints: taints},
			Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}},
		}
	}
	tests := map[string]struct {
		node *corev1.Node
		want bool
	}{
		"a new node":                        {&corev1.Node{}, false},
		"a node that is not ready":          {ready(corev1.ConditionFalse), false},
		"a node that is ready":              {ready(corev1.ConditionTrue, corev1.Taint{Key: ours}), true},
		"a ready node with the taint still": {ready(corev1.ConditionTrue, corev1.Taint{Key: corev1.TaintNodeNotReady}), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := takesPods(test.node); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

func managerWith(replicas int32) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: deployed.Namespace, Name: deployed.Name}}
	d.Spec.Replicas, d.Spec.Selector = &replicas, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "manager"}}
	return d
}

func (b *bench) replicas(t *testing.T) int32 {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := b.client.Get(t.Context(), deployed, d); err != nil {
		t.Fatal(err)
	}
	return *d.Spec.Replicas
}

func TestDeployedManagerSleepsAndComesBack(t *testing.T) {
	b := benchOn(t, managerWith(2))
	var said bytes.Buffer
	if err := b.takeOver(t.Context(), &said); err != nil {
		t.Fatal(err)
	}
	if got := b.replicas(t); got != 0 || !strings.Contains(said.String(), "2 replicas") {
		t.Errorf("%d replicas during the benchmark; said %q", got, &said)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.CleanUp(interrupted); err != nil {
		t.Fatal(err)
	}
	if got := b.replicas(t); got != 2 {
		t.Errorf("%d replicas afterwards, want 2", got)
	}
}

func TestDeployedManagerComesBackAfterABenchmarkThatWasKilled(t *testing.T) {
	killed := benchOn(t, managerWith(2))
	if err := killed.takeOver(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	next := benchOn(t)
	next.client = killed.client
	if err := next.takeOver(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := next.CleanUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := next.replicas(t); got != 2 {
		t.Errorf("%d replicas afterwards, want 2", got)
	}
}

func TestNothingToTakeOver(t *testing.T) {
	for name, objects := range map[string][]client.Object{"no manager": nil, "a manager without replicas": {managerWith(0)}} {
		t.Run(name, func(t *testing.T) {
			b := benchOn(t, objects...)
			if err := b.takeOver(t.Context(), io.Discard); err != nil || b.ToUndo() != 0 {
				t.Errorf("error %v, %d things to undo", err, b.ToUndo())
			}
		})
	}
}

func TestSessionsKeepTheirManager(t *testing.T) {
	b := benchOn(t, managerWith(2), build.Session("fix-login").Obj())
	wantError(t, b.takeOver(t.Context(), io.Discard), "fix-login", build.Namespace, "wait")
	if got := b.replicas(t); got != 2 {
		t.Errorf("%d replicas, want 2", got)
	}
}

func TestSessionsThatNeedNoManager(t *testing.T) {
	over := build.Session("over").Condition(v1alpha1.ConditionFinished, metav1.ConditionTrue, "Succeeded").Obj()
	b := benchOn(t, over, build.Session("left-by-a-benchmark").Namespace(forSessions).Obj())
	if err := b.takeOver(t.Context(), io.Discard); err != nil {
		t.Error(err)
	}
}

func TestClearRemovesWhatIsOursAndNothingElse(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: objectMeta(forSessions, "bench-0000-sandbox-1")}
	pod.Finalizers = []string{v1alpha1.FinalizerResult}
	theirs := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "theirs", Finalizers: pod.Finalizers}}
	b := benchOn(t, pod, theirs, fakeNode(0), class(), build.Session("bench-0000").Namespace(forSessions).Obj(), build.Session("fix-login").Obj(),
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}, build.Class("opencode").Obj(),
		&corev1.Namespace{ObjectMeta: objectMeta("", forSessions)}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}})
	if err := b.clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, kind := range []client.Object{&corev1.Pod{}, &corev1.Node{}, &corev1.Namespace{}, &v1alpha1.Session{}, &v1alpha1.SessionClass{}} {
		found, err := b.listed(t.Context(), kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range found {
			left = append(left, o.GetName())
		}
	}
	if diff := cmp.Diff([]string{"theirs", "node-1", "team-a", "fix-login", "opencode"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestKinds(t *testing.T) {
	kinds, err := kindsIn("../../config/crd/bases")
	if err != nil || len(kinds) < 4 {
		t.Fatalf("%d Kinds, error %v", len(kinds), err)
	}
	for _, kind := range kinds {
		if kind.GetKind() != "CustomResourceDefinition" {
			t.Errorf("%s is a %s", kind.GetName(), kind.GetKind())
		}
	}
	_, err = kindsIn(t.TempDir())
	wantError(t, err, "make generate")
}
