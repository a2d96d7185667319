package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/bench/meter"
	"github.com/sandkeep/sandkeep/hack/bench/program"
)

// managerProcess is the manager of this checkout, running outside the cluster.
type managerProcess struct {
	*program.Child
	gate *meter.Gate
}

// startManager starts the manager, and sees by a class and a Session that it works.
func (b *bench) startManager(ctx context.Context, detail io.Writer) error {
	if err := b.launchManager(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(detail, "its log is %s\n", b.manager.LogName())
	if err := b.client.Create(ctx, class()); err != nil {
		return fmt.Errorf("create the class: %w", err)
	}
	if err := b.classReady(ctx); err != nil {
		return err
	}
	if _, err := b.await(ctx, detail, sessionsIn(forBaseline, 1)); err != nil {
		return err
	}
	var pods corev1.PodList
	if err := b.client.List(ctx, &pods, client.InNamespace(forBaseline)); err != nil || len(pods.Items) != 1 {
		return errors.Join(fmt.Errorf("the first Session has %d pods, not one", len(pods.Items)), err)
	}
	b.podSpec = pods.Items[0].Spec
	return nil
}

func (b *bench) launchManager(ctx context.Context) error {
	kubeconfig := filepath.Join(b.Scratch, "manager.kubeconfig")
	gate, err := meter.Open(ctx, b.config, io.Discard)
	if err != nil {
		return err
	}
	b.Undo("Stop the manager's way to the cluster", func(context.Context, io.Writer) error { return gate.Close() })
	if err := gate.WriteKubeconfig(kubeconfig); err != nil {
		return err
	}
	args := append([]string{
		"--kubeconfig", kubeconfig, "--image", "sandkeep:bench", "--leader-elect=false",
		"--metrics-bind-address=0", "--health-probe-bind-address=0",
	}, b.managerArgs...)
	process, err := b.Start("manager", nil, args...)
	if err != nil {
		return err
	}
	b.Undo("Stop the manager", func(context.Context, io.Writer) error { process.Stop(); return nil })
	b.manager = &managerProcess{process, gate}
	return nil
}

// class is the least Command class, for fake nodes.
func class() *v1alpha1.SessionClass {
	c := &v1alpha1.SessionClass{ObjectMeta: objectMeta("", ours)}
	c.Spec.Agent = v1alpha1.Agent{
		Name: "bench", Protocol: v1alpha1.AgentProtocolCommand, Command: []string{"true"}, Output: v1alpha1.AgentOutputText,
	}
	c.Spec.PodTemplate.Spec = corev1.PodSpec{
		NodeSelector: map[string]string{partOf: ours},
		Tolerations:  []corev1.Toleration{{Key: ours, Operator: corev1.TolerationOpExists}},
		Containers:   []corev1.Container{{Name: "agent", Image: "agent:bench"}},
	}
	return c
}

func (b *bench) classReady(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, glance, readyTime, true, func(ctx context.Context) (bool, error) {
		c := &v1alpha1.SessionClass{}
		err := b.client.Get(ctx, client.ObjectKey{Name: ours}, c)
		return meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionReady), err
	})
	if err != nil {
		return fmt.Errorf("the manager does not accept the class: %w\n%s", err, b.manager.LastWords())
	}
	return nil
}

// settle waits until the manager asks nothing of the API server for a second: Events come late.
func (m *managerProcess) settle(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, glance, readyTime, true, func(context.Context) (bool, error) {
		return m.gate.Idle() >= time.Second, nil
	})
}
