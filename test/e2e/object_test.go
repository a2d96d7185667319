package e2e

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// remove deletes an object at the end of a test, when its context has ended.
func (p *play) remove(o client.Object) {
	if err := p.client.Delete(context.WithoutCancel(p.Context()), o); client.IgnoreNotFound(err) != nil {
		p.Errorf("Delete %T %s: %v", o, o.GetName(), err)
	}
}

// changeSecret adds entries to the Secret that holds the key.
func (p *play) changeSecret(entries map[string]string) {
	p.Helper()
	secret := &corev1.Secret{ObjectMeta: p.named(secretName)}
	if err := p.client.Get(p.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		p.Fatal(err)
	}
	secret.StringData = entries
	if err := p.client.Update(p.Context(), secret); err != nil {
		p.Fatalf("Change the Secret: %v", err)
	}
}

func namesIn(list client.ObjectList) []string {
	var names []string
	_ = meta.EachListItem(list, func(o runtime.Object) error { // it fails only for what is no list
		accessor, err := meta.Accessor(o)
		if err == nil {
			names = append(names, accessor.GetName())
		}
		return err
	})
	return names
}

func quantity(text string) *resource.Quantity {
	q := resource.MustParse(text)
	return &q
}
