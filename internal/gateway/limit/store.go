package limit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

const (
	// ConfigMapPrefix begins the names of the ConfigMaps of v1alpha1.NamespaceSystem that hold what is counted, with label v1alpha1.LabelLimits.
	ConfigMapPrefix = "sandkeep-limits-"
	configMapKey    = "account.json"
	// keepTime is how long a ConfigMap is kept that nobody writes: longer than anything in it counts.
	keepTime  = 26 * time.Hour
	sweepTime = time.Hour
)

// document is what a ConfigMap holds. What it is about is there for people.
type document struct {
	Credential string    `json:"credential"`
	Owner      string    `json:"owner,omitempty"`
	WriteTime  time.Time `json:"writeTime"`
	state
}

// read takes up the state as it is. One that cannot be read is begun anew: it was damaged by somebody who may write to the namespace.
func (b *Book) read(ctx context.Context, a *account) error {
	now := b.clock.Now()
	cm := &corev1.ConfigMap{}
	err := b.live.Get(ctx, client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: a.key.name()}, cm)
	if apierrors.IsNotFound(err) {
		a.learned(state{}, "", now)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what is counted for limits: %w", err)
	}
	a.learned(decode(cm).state, cm.ResourceVersion, now)
	return nil
}

func decode(cm *corev1.ConfigMap) document {
	var d document
	if err := json.Unmarshal([]byte(cm.Data[configMapKey]), &d); err != nil {
		return document{}
	}
	return d
}

// write writes a proposal if nobody has written since the state was read.
func (b *Book) write(ctx context.Context, a *account, p proposal) error {
	text, err := json.Marshal(document{a.key.credential.String(), a.key.owner, p.time.UTC(), p.state})
	if err != nil {
		return fmt.Errorf("write what is counted for limits: %w", err)
	}
	a.mu.Lock()
	version := a.version
	a.mu.Unlock()
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v1alpha1.NamespaceSystem, Name: a.key.name(), ResourceVersion: version, Labels: map[string]string{v1alpha1.LabelLimits: ""},
		},
		Data: map[string]string{configMapKey: string(text)},
	}
	if version == "" {
		err = b.writer.Create(ctx, cm)
	} else {
		err = b.writer.Update(ctx, cm)
	}
	if err != nil {
		return fmt.Errorf("write what is counted for limits: %w", err)
	}
	a.written(p, cm.ResourceVersion)
	return nil
}

// sweepOld deletes what nobody counts in any more: the ConfigMaps of credentials and owners that are gone.
func (b *Book) sweepOld(ctx context.Context) error {
	now := b.clock.Now()
	if now.Before(b.sweep) {
		return nil
	}
	b.sweep = now.Add(sweepTime)
	var list corev1.ConfigMapList
	if err := b.live.List(ctx, &list, client.InNamespace(v1alpha1.NamespaceSystem), client.HasLabels{v1alpha1.LabelLimits}); err != nil {
		return fmt.Errorf("list what is counted for limits: %w", err)
	}
	var errs []error
	for i := range list.Items {
		cm := &list.Items[i]
		if now.Sub(decode(cm).WriteTime) < keepTime {
			continue
		}
		err := b.writer.Delete(ctx, cm, client.Preconditions{UID: &cm.UID, ResourceVersion: &cm.ResourceVersion})
		errs = append(errs, client.IgnoreNotFound(err))
	}
	return errors.Join(errs...)
}

func finished(s *v1alpha1.Session) bool {
	return meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionFinished)
}
