package redteam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
	shipped "github.com/sandkeep/sandkeep/internal/policy"
	"github.com/sandkeep/sandkeep/test/cluster"
)

// Names of what is at a place.
const (
	sessionName    = "fix-login"
	sandboxName    = "fix-login-sandbox-1"
	ownName        = "own-sandbox-1" // a pod of the editor's, which is no sandbox, whatever its name
	credentialName = "own"
	accountName    = "bot"
)

// who names somebody.
type who string

// Those who try something. What RBAC would refuse anyway is tried by somebody with every right, so that the policy is what refuses it.
const (
	editor      who = "an editor"              // the built-in role edit in the namespace
	everyRight  who = "one with every right"   // all that RBAC can give
	admin       who = "an admin"               // of system:masters
	entrant     who = "an entrant"             // edit and sandkeep-exec
	debugger    who = "a debugger"             // may add ephemeral containers
	tenant      who = "a tenant"               // sandkeep-edit, and so no Secrets
	namespacer  who = "a namespacer"           // may change namespaces
	keeperOfAll who = "an admin of Sandkeep"   // sandkeep-admin, and may change namespaces
	keyHolder   who = "an admin with the keys" // the same, and may get Secrets in sandkeep-keys
	applier     who = "an applier"             // edit, and may name some owners
	account     who = "a service account"      // edit
	manager     who = "the manager"
	gateway     who = "the gateway"
	keeper      who = "the keeper"
	node        who = "a node"
	collector   who = "the garbage collector"
)

// place is a namespace with a Session, its sandbox, a Credential, and a pod that is no sandbox.
type place struct {
	config    *rest.Config
	api       client.Client
	namespace string
	sandbox   *corev1.Pod
}

var applied sync.Once

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{config: cluster.Config(t), api: cluster.Client(t)}
	applied.Do(func() {
		cluster.ApplyCRDs(t, p.api)
		p.applyFiles(t)
	})
	p.namespace = cluster.Namespace(t, p.api)
	t.Cleanup(func() { p.release(t) })
	p.giveRoles(t)
	p.fence(t)
	p.furnish(t)
	return p
}

// applyFiles puts the policies and roles of the checkout in force, and waits until the API server says what it thinks of them.
func (p *place) applyFiles(t *testing.T) {
	t.Helper()
	for _, name := range []string{v1alpha1.NamespaceSystem, v1alpha1.NamespaceKeys, v1alpha1.NamespaceVault} {
		if err := p.api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(cluster.Root(t), "config/policy/*_*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, filepath.Join(cluster.Root(t), "config/policy/status.yaml"), filepath.Join(cluster.Root(t), "config/rbac/user_roles.yaml"))
	for _, file := range files {
		for _, o := range objectsOf(t, file) {
			if err := p.api.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("sandkeep-tests"), client.ForceOwnership); err != nil {
				t.Fatalf("Apply %s: %v", file, err)
			}
		}
	}
	for _, name := range shipped.Names() {
		if warnings := p.typeWarnings(t, name); len(warnings) > 0 {
			t.Errorf("Policy %s: %v", name, warnings)
		}
	}
	p.await(t, "owners of Sessions being stamped", func(ctx context.Context) (bool, error) {
		session := newSession("default", "probe")
		err := p.api.Create(ctx, session, client.DryRunAll)
		return err == nil && session.Spec.Owner != nil, nil
	})
}

// typeWarnings waits for the verdict of the API server on the types in a policy.
func (p *place) typeWarnings(t *testing.T, name string) []admissionv1.ExpressionWarning {
	t.Helper()
	policy := &admissionv1.ValidatingAdmissionPolicy{}
	p.await(t, "the API server's verdict on policy "+name, func(ctx context.Context) (bool, error) {
		err := p.api.Get(ctx, client.ObjectKey{Name: name}, policy)
		return err == nil && policy.Status.ObservedGeneration == policy.Generation && policy.Status.TypeChecking != nil, err
	})
	return policy.Status.TypeChecking.ExpressionWarnings
}

// identity is how somebody is known to the API server. Names bear that of the place, since roles are given anew at each.
func (p *place) identity(by who) rest.ImpersonationConfig {
	program := func(name string) rest.ImpersonationConfig {
		return rest.ImpersonationConfig{UserName: "system:serviceaccount:" + v1alpha1.NamespaceSystem + ":" + name, Groups: []string{p.everyRight()}}
	}
	switch by {
	case manager:
		return program(v1alpha1.FieldOwnerManager)
	case gateway:
		return program(v1alpha1.FieldOwnerGateway)
	case keeper:
		return program(v1alpha1.FieldOwnerKeeper)
	case node:
		return rest.ImpersonationConfig{UserName: "kubelet", Groups: []string{"system:nodes", p.everyRight()}}
	case admin:
		return rest.ImpersonationConfig{UserName: "admin", Groups: []string{"system:masters"}}
	case account:
		return rest.ImpersonationConfig{UserName: "system:serviceaccount:" + p.namespace + ":" + accountName}
	case collector:
		return rest.ImpersonationConfig{UserName: "system:serviceaccount:kube-system:generic-garbage-collector"}
	case applier:
		return rest.ImpersonationConfig{UserName: p.user(by), Groups: []string{"appliers-of-" + p.namespace}}
	case everyRight:
		return rest.ImpersonationConfig{UserName: p.user(by), Groups: []string{p.everyRight()}}
	default:
		return rest.ImpersonationConfig{UserName: p.user(by)}
	}
}

func (p *place) user(by who) string { return fmt.Sprintf("%s of %s", by, p.namespace) }

// everyRight is a group that is bound to cluster-admin. Unlike system:masters it is not trusted.
func (p *place) everyRight() string { return "every-right-of-" + p.namespace }

// giveRoles binds those who try something to roles.
func (p *place) giveRoles(t *testing.T) {
	t.Helper()
	p.bind(t, "", "cluster-admin", rbacv1.Subject{Kind: "Group", Name: p.everyRight()})
	for role, users := range map[string][]who{"edit": {editor, entrant, debugger, applier}, "sandkeep-exec": {entrant}, "sandkeep-edit": {tenant}} {
		for _, user := range users {
			p.bind(t, p.namespace, role, rbacv1.Subject{Kind: "User", Name: p.user(user)})
		}
	}
	for _, user := range []who{keeperOfAll, keyHolder} {
		p.bind(t, "", "sandkeep-admin", rbacv1.Subject{Kind: "User", Name: p.user(user)})
	}
	for role, users := range map[string][]who{"debug": {debugger}, "namespaces": {namespacer, keeperOfAll}, "keys": {keyHolder}} {
		for _, user := range users {
			p.bind(t, "", p.namespace+"-"+role, rbacv1.Subject{Kind: "User", Name: p.user(user)})
		}
	}
	p.bind(t, p.namespace, "edit", rbacv1.Subject{Kind: "User", Name: p.identity(account).UserName})
	p.role(t, "debug", "", "patch", "pods/ephemeralcontainers")
	p.role(t, "namespaces", "", "patch", "namespaces", "namespaces/status", "namespaces/finalize")
	p.role(t, "namespaces", "", "create", "namespaces")
	p.role(t, "keys", "", "get", "secrets")
}

// bind gives somebody a ClusterRole: in one namespace, or everywhere.
func (p *place) bind(t *testing.T, namespace, role string, subject rbacv1.Subject) {
	t.Helper()
	subject.APIGroup = rbacv1.GroupName
	meta := metav1.ObjectMeta{GenerateName: p.namespace + "-", Namespace: namespace}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	if namespace == "" {
		p.createFor(t, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: []rbacv1.Subject{subject}})
		return
	}
	p.createFor(t, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: []rbacv1.Subject{subject}})
}

// role adds a rule to a ClusterRole of the place.
func (p *place) role(t *testing.T, name, group, verb string, resources ...string) {
	t.Helper()
	rule := rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{verb}}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-" + name}}
	if err := p.api.Get(t.Context(), client.ObjectKeyFromObject(role), role); err == nil {
		role.Rules = append(role.Rules, rule)
		if err := p.api.Update(t.Context(), role); err != nil {
			t.Fatal(err)
		}
		return
	}
	role.Rules = []rbacv1.PolicyRule{rule}
	p.createFor(t, role)
}

// createFor makes an object for the time of a test.
func (p *place) createFor(t *testing.T, o client.Object) {
	t.Helper()
	if err := p.api.Create(t.Context(), o); err != nil {
		t.Fatalf("Create %T %s: %v", o, o.GetName(), err)
	}
	t.Cleanup(func() {
		if err := p.api.Delete(context.WithoutCancel(t.Context()), o); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// fence keeps the manager that is installed on the cluster away from the place: the one of the tests has a group that it lacks.
func (p *place) fence(t *testing.T) {
	t.Helper()
	for _, o := range []client.Object{
		&admissionv1.ValidatingAdmissionPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: p.namespace},
			Spec: admissionv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: &admissionv1.MatchResources{
					NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: p.namespace}},
					ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.OperationAll},
						Rule:       admissionv1.Rule{APIGroups: []string{"", v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
					}}},
				},
				Validations: []admissionv1.Validation{{Message: "fenced off", Expression: fmt.Sprintf(
					"request.namespace != '%s' || request.userInfo.username != '%s' || '%s' in request.userInfo.groups",
					p.namespace, p.identity(manager).UserName, p.everyRight())}},
			},
		},
		&admissionv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: metav1.ObjectMeta{Name: p.namespace},
			Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: p.namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
		},
	} {
		p.createFor(t, o)
	}
	config := rest.CopyConfig(p.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: p.identity(manager).UserName, Groups: []string{"system:masters"}}
	outsider, err := client.New(config, client.Options{Scheme: cluster.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	p.await(t, "the fence", func(ctx context.Context) (bool, error) {
		err := outsider.Create(ctx, &corev1.ConfigMap{ObjectMeta: p.named("probe")}, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "fenced off"), nil
	})
}

// await waits for what takes the cluster a moment.
func (p *place) await(t *testing.T, what string, is wait.ConditionWithContextFunc) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, is); err != nil {
		t.Fatalf("No sign of %s: %v", what, err)
	}
}

// furnish makes what is at the place. The pods wait for ever to be scheduled.
func (p *place) furnish(t *testing.T) {
	t.Helper()
	session := newSession(p.namespace, sessionName)
	p.createFor(t, session)
	p.createFor(t, credential(p))
	p.sandbox = goldenPod(t, "env-delivery.yaml")
	p.sandbox.Namespace, p.sandbox.OwnerReferences[0].UID = p.namespace, session.UID
	p.sandbox.Spec.Volumes = append(p.sandbox.Spec.Volumes, tokenVolume(v1alpha1.TokenAudience))
	own := plainPod(p)
	own.Namespace = p.namespace
	p.await(t, "the ServiceAccount that pods run as", func(ctx context.Context) (bool, error) {
		err := p.api.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: "default"}, &corev1.ServiceAccount{})
		return err == nil, client.IgnoreNotFound(err)
	})
	for _, pod := range []*corev1.Pod{p.sandbox, own} {
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "test/never"}}
		if err := p.api.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
}

func newSession(namespace, name string) *v1alpha1.Session {
	return &v1alpha1.Session{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.SessionSpec{Mode: v1alpha1.SessionModeTask, Prompt: "Do it"},
	}
}

func (p *place) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: p.namespace, Name: name}
}

// release lets the sandbox go.
func (p *place) release(t *testing.T) {
	if p.sandbox == nil {
		return
	}
	free := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := p.api.Patch(context.WithoutCancel(t.Context()), p.sandbox, free); client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
}

// goldenPod is a pod as Sandkeep makes it.
func goldenPod(t *testing.T, file string) *corev1.Pod {
	t.Helper()
	objects := objectsOf(t, filepath.Join(cluster.Root(t), "internal/sandbox/testdata", file))
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Pod" })
	if i < 0 {
		t.Fatalf("no pod in %s", file)
	}
	pod := &corev1.Pod{}
	if err := convert(objects[i], pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// objectsOf reads a file of YAML documents.
func objectsOf(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	var objects []*unstructured.Unstructured
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}
