package sandbox

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// scenario is a sandbox. Its objects are in testdata/<name>.yaml.
type scenario struct {
	session  *build.SessionBuilder
	class    *build.ClassBuilder
	resolved []credential.Resolved
	run      int32
}

func scenarios() map[string]scenario {
	session := func() *build.SessionBuilder { return build.Session("fix-login") }
	class := func() *build.ClassBuilder { return build.Class("opencode") }
	return map[string]scenario{
		"minimal-class":  {session(), class(), nil, 1},
		"second-run":     {session(), class(), nil, 2},
		"env-delivery":   {session(), class(), []credential.Resolved{resolved("anthropic", v1alpha1.DeliveryEnv)}, 1},
		"file-delivery":  {session(), class(), []credential.Resolved{resolved("anthropic", v1alpha1.DeliveryFile)}, 1},
		"proxy-delivery": {session(), class(), []credential.Resolved{resolved("anthropic", v1alpha1.DeliveryProxy)}, 1},
		"channel-delivery": {session(), class(), []credential.Resolved{
			ofAdmin(resolved("anthropic", v1alpha1.DeliveryFile)), ofAdmin(resolved("openai", v1alpha1.DeliveryEnv)),
		}, 1},
		"both-deliveries": {session(), class(), []credential.Resolved{
			resolved("anthropic", v1alpha1.DeliveryFile), resolved("openai", v1alpha1.DeliveryEnv), resolved("google", v1alpha1.DeliveryFile),
		}, 1},
		"workspace-of-session": {session().Workspace("20Gi", ""), class().Workspace("5Gi", "fast"), nil, 1},
		"workspace-of-class":   {session(), class().Workspace("", ""), nil, 1},
		"full-template":        {session(), class().With(fullTemplate), nil, 1},
		"session-resources": {session().Resources(
			corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("6Gi")},
			corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}), class(), nil, 1},
	}
}

// fullTemplate is a class with a sidecar, variables, volumes, a security context and resources of its own.
func fullTemplate(class *v1alpha1.SessionClass) {
	template := &class.Spec.PodTemplate
	template.Labels = map[string]string{"team": "a", v1alpha1.LabelSession: "forged"}
	template.Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/safe-to-evict": "true", "note": "kept"}
	spec := &template.Spec
	spec.RuntimeClassName = new("gvisor")
	spec.NodeSelector = map[string]string{"pool": "sandboxes"}
	spec.TerminationGracePeriodSeconds = new(int64(90))
	spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), FSGroup: new(int64(2000))}
	spec.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	spec.InitContainers = []corev1.Container{{
		Name: "database", Image: "registry.example/postgres:17", RestartPolicy: new(corev1.ContainerRestartPolicyAlways),
		SecurityContext: &corev1.SecurityContext{ReadOnlyRootFilesystem: new(false)},
		ImagePullPolicy: corev1.PullAlways,
	}}
	agent := &spec.Containers[0]
	agent.Env = []corev1.EnvVar{{Name: "LANG", Value: "C.UTF-8"}}
	agent.VolumeMounts = []corev1.VolumeMount{{Name: "cache", MountPath: "/home/sandkeep/.cache"}}
	agent.SecurityContext = &corev1.SecurityContext{RunAsUser: new(int64(1234))}
	agent.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("8Gi")},
	}
}

// resolved is a credential "<provider>-shared", whose key is api-key in the Secret of the same name.
func resolved(provider string, delivery v1alpha1.Delivery) credential.Resolved {
	name := strings.ToUpper(provider) + "_API_KEY"
	return credential.Resolved{
		Provider: build.Provider(provider).Env(name, "$(API_KEY)").Obj(),
		Ref:      v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: provider + "-shared"},
		Secret:   v1alpha1.SecretKeyReference{Name: provider + "-shared", Key: "api-key"},
		Source:   v1alpha1.CredentialSourceNamespace, Method: v1alpha1.CredentialMethodAPIKey, Delivery: delivery,
	}
}

// ofAdmin makes a credential an admin's, whose key is in the keep.
func ofAdmin(r credential.Resolved) credential.Resolved {
	r.Ref.Kind, r.Source = v1alpha1.CredentialKindClusterCredential, v1alpha1.CredentialSourceCluster
	return r
}

// aGateway is where the gateway is.
func aGateway() *contract.Gateway {
	return &contract.Gateway{URL: "https://sandkeep-gateway.example", CABundle: "a certificate"}
}

func (s scenario) input() PodInput {
	var providers []v1alpha1.APIProvider
	for _, r := range s.resolved {
		providers = append(providers, *r.Provider)
	}
	session, class := s.session.Obj(), s.class.Obj()
	return PodInput{
		Session: session, Class: class, Config: ConfigFor(ConfigInput{
			Session: session, Class: class, Resolved: s.resolved, Providers: providers, Gateway: aGateway(), Run: s.run,
		}),
		Digest: "sha256:0123456789abcdef", Image: "registry.example/sandkeep:v1",
	}
}

func TestASandboxIsMadeOfTheseObjects(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			in := s.input()
			golden(t, name, Workspace(in.Session, in.Class), Pod(in))
		})
	}
}

func TestEveryFileInTestdataIsOfAScenario(t *testing.T) {
	var want []string
	for name := range scenarios() {
		want = append(want, filepath.Join("testdata", name+".yaml"))
	}
	slices.Sort(want)
	got, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-scenarios +testdata):\n%s", diff)
	}
}

func TestEveryPodPassesTheRestrictedPodSecurityStandard(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff("", violations(t, Pod(s.input()))); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatAClassSetsItselfIsLeftForTheNamespaceToRefuse(t *testing.T) {
	in := scenario{build.Session("fix-login"), build.Class("opencode").AgentContainer(func(c *corev1.Container) {
		c.SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(true)}
	}), nil, 1}.input()
	want := `allowPrivilegeEscalation != false: container "agent" must set securityContext.allowPrivilegeEscalation=false`
	if diff := cmp.Diff(want, violations(t, Pod(in))); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

func TestAPodIsMadeWithoutChangingItsClass(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			in := s.input()
			first := Pod(in)
			if diff := cmp.Diff(s.class.Obj(), in.Class); diff != "" {
				t.Errorf("class (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(first, Pod(in)); diff != "" {
				t.Errorf("pod (-first +second):\n%s", diff)
			}
		})
	}
}

func TestAConfigMapIsImmutableAndOfOneRun(t *testing.T) {
	session := build.Session("fix-login").Obj()
	got := ConfigMap(session, build.Class("opencode").Obj(), 3, []byte(`{"prompt":"Fix the login"}`))
	want := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name: "fix-login-sandbox-3", Namespace: build.Namespace,
			Labels: map[string]string{
				"app.kubernetes.io/managed-by": "sandkeep", "app.kubernetes.io/component": "sandbox",
				"sandkeep.dev/session": "fix-login", "sandkeep.dev/run": "3",
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "sandkeep.dev/v1alpha1", Kind: "Session", Name: "fix-login", UID: session.UID,
				Controller: new(true), BlockOwnerDeletion: new(true),
			}},
		},
		Immutable: new(true),
		Data:      map[string]string{contract.ConfigFile: `{"prompt":"Fix the login"}`, "limits.json": "{}"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ConfigMap (-want +got):\n%s", diff)
	}
}

// violations is what the Restricted standard says against a pod.
func violations(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	var found []string
	for i, reason := range result.ForbiddenReasons {
		found = append(found, reason+": "+result.ForbiddenDetails[i])
	}
	return strings.Join(found, "\n")
}

// golden compares objects with their file in testdata.
func golden(t *testing.T, name string, claim *corev1.PersistentVolumeClaim, pod *corev1.Pod) {
	t.Helper()
	var got bytes.Buffer
	if claim != nil {
		claim.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
		got.Write(document(t, claim))
		got.WriteString("---\n")
	}
	pod.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	got.Write(document(t, pod))
	file := filepath.Join("testdata", name+".yaml")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with go test -update", err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("objects (-testdata +got), go test -update rewrites the file:\n%s", diff)
	}
}

// document is an object as YAML, without its empty status.
func document(t *testing.T, object any) []byte {
	t.Helper()
	data, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	if err := yaml.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(fields, func(name string, _ any) bool { return name == "status" })
	data, err = yaml.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
