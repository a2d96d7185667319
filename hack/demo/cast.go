package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/hack/demo/scene"
)

// What the demo's objects are called.
const (
	scripted      = "demo"      // the class and the provider that lead to the scripted provider
	shippedClass  = "opencode"  // the class that they are made from, and that is used with a real key
	shippedSeller = "anthropic" // the provider of the same
	keyEntry      = "api-key"
	repository    = "demo/calculator"
	baseBranch    = "main"
	partOfDemo    = "app.kubernetes.io/part-of"
)

// vendorAddress is where the real provider answers.
const vendorAddress = "api.anthropic.com:443"

// payer is where the answers come from and what pays for them.
type payer struct {
	class, provider, key, prompt string
	// real is true for the vendor's own service.
	real         bool
	announcement string
}

// choosePayer takes the real provider if there is a key for it and a way to it.
func choosePayer(ctx context.Context, getenv func(string) string) payer {
	return choosePayerAt(ctx, vendorAddress, getenv)
}

func choosePayerAt(ctx context.Context, vendor string, getenv func(string) string) payer {
	key := strings.TrimSpace(getenv("ANTHROPIC_API_KEY"))
	if key == "" {
		return scriptedPayer("The answers come from a scripted provider, so this costs nothing. Set ANTHROPIC_API_KEY to use the real one.")
	}
	dialer := net.Dialer{Timeout: 3 * time.Second}
	connection, err := dialer.DialContext(ctx, "tcp", vendor)
	if err != nil {
		return scriptedPayer("ANTHROPIC_API_KEY is set, but " + vendor + " cannot be reached from here: using a scripted provider.")
	}
	_ = connection.Close()
	return payer{
		class: shippedClass, provider: shippedSeller, key: key, real: true,
		prompt: "The subtract command of calculator.sh is wrong. Repair it, run test.sh until all tests pass, " +
			"and say in one sentence what was wrong.",
		announcement: `
*** THIS DEMO SPENDS MONEY: ANTHROPIC_API_KEY is set, so the real provider answers, and that key pays.
*** To spend nothing, end it now (Ctrl-C) and run: env -u ANTHROPIC_API_KEY make demo

The key goes into a Secret and nowhere else. Nothing is spent before the Session is applied, the last step but one.
Pods of the local cluster get a way out to the network; ` + "`make up` closes it again.\n",
	}
}

func scriptedPayer(announcement string) payer {
	return payer{
		class: scripted, provider: scripted, key: "demo-" + rand.Text(), announcement: announcement,
		prompt: "The subtract command of calculator.sh is wrong. Repair it and run test.sh. [[script:edit-and-test]]",
	}
}

// cast are the objects that a user would apply.
type cast struct {
	secret     *corev1.Secret
	credential *v1alpha1.ClusterCredential
	session    *v1alpha1.Session
}

// castFor makes them. Names are new at each showing, since a finished Session never runs again.
func castFor(p payer, url string) cast {
	name := "repair-" + strings.ToLower(rand.Text()[:5])
	secret := &corev1.Secret{
		ObjectMeta: objectMeta(v1alpha1.NamespaceKeys, "sandkeep-demo"), Type: v1alpha1.SecretTypeAPIKey, StringData: map[string]string{keyEntry: p.key},
	}
	credential := &v1alpha1.ClusterCredential{ObjectMeta: objectMeta("", "sandkeep-demo"), Spec: v1alpha1.ClusterCredentialSpec{
		Provider: p.provider,
		APIKey:   v1alpha1.APIKey{SecretRef: v1alpha1.SecretKeyReference{Name: secret.Name, Key: keyEntry}},
		Allow:    &v1alpha1.Allow{Namespaces: &v1alpha1.AllowedNamespaces{Names: []string{namespace}}},
	}}
	session := &v1alpha1.Session{ObjectMeta: objectMeta(namespace, name), Spec: v1alpha1.SessionSpec{
		ClassName: p.class, Mode: v1alpha1.SessionModeTask, Prompt: p.prompt, Model: "anthropic/claude-sonnet-4-5",
		Repositories: []v1alpha1.Repository{{URL: url, Ref: baseBranch, Path: "calculator", PushBranch: "sandkeep/" + name}},
	}}
	return cast{secret, credential, session}
}

func objectMeta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{partOfDemo: "sandkeep-demo"}}
}

// apply clears away what an earlier showing left, and applies what this one needs.
func (d *demo) apply(ctx context.Context) error {
	c := castFor(d.payer, d.scene.URL(repository))
	err := d.client.DeleteAllOf(ctx, &v1alpha1.Session{}, client.InNamespace(namespace), client.MatchingLabels{partOfDemo: "sandkeep-demo"})
	if err != nil {
		return fmt.Errorf("delete the Session of an earlier demo: %w", err)
	}
	if !d.payer.real {
		if err := d.applyScripted(ctx); err != nil {
			return err
		}
	}
	if err := d.scene.Apply(ctx, c.secret, c.credential); err != nil {
		return err
	}
	// Not to be cut short: who ends the demo here has to hear whether a Session runs, and spends.
	if err := d.scene.Apply(context.WithoutCancel(ctx), c.session); err != nil {
		return err
	}
	d.cast = c
	return nil
}

// applyScripted makes the class and the provider of the demo from the shipped ones.
func (d *demo) applyScripted(ctx context.Context) error {
	class, provider := &v1alpha1.SessionClass{}, &v1alpha1.APIProvider{}
	if err := d.client.Get(ctx, client.ObjectKey{Name: shippedClass}, class); err != nil {
		return fmt.Errorf("read the shipped class: %w", err)
	}
	if err := d.client.Get(ctx, client.ObjectKey{Name: shippedSeller}, provider); err != nil {
		return fmt.Errorf("read the shipped provider: %w", err)
	}
	return d.scene.Apply(ctx, d.scene.Provider(provider, scripted), scene.Class(class, scripted, scripted, v1alpha1.DeliveryProxy))
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}
