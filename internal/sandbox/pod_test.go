package sandbox

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/randfill"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/credential"
)

// What becomes of a field of the template.
const (
	kept    = "kept"
	forced  = "forced"
	addedTo = "added to"
)

// podOf is the pod of a class and a plain Session.
func podOf(class *v1alpha1.SessionClass, credentials ...credential.Resolved) *corev1.Pod {
	session := build.Session("fix-login").Obj()
	return Pod(PodInput{
		Session: session, Class: class, Config: ConfigFor(ConfigInput{Session: session, Class: class, Resolved: credentials, Gateway: aGateway(), Run: 1}),
		Digest: "sha256:0123456789abcdef", Image: "registry.example/sandkeep:v1",
	})
}

// Whoever updates k8s.io/api decides here on a new field of PodSpec.
func TestEveryFieldOfAPodIsKeptOrForced(t *testing.T) {
	want := map[string]string{
		"Volumes": addedTo, "InitContainers": addedTo, "Containers": addedTo, "SecurityContext": kept,
		"EphemeralContainers": kept, // refused by the API server
		"RestartPolicy":       forced, "ActiveDeadlineSeconds": forced, "NodeName": forced, "EnableServiceLinks": forced,
		"ServiceAccountName": forced, "DeprecatedServiceAccount": forced, "AutomountServiceAccountToken": forced,
		"HostNetwork": forced, "HostPID": forced, "HostIPC": forced, "ShareProcessNamespace": forced,
		"HostUsers":                     kept, // false is one more fence
		"TerminationGracePeriodSeconds": kept, "DNSPolicy": kept, "NodeSelector": kept, "ImagePullSecrets": kept,
		"Hostname": kept, "Subdomain": kept, "Affinity": kept, "SchedulerName": kept, "Tolerations": kept, "HostAliases": kept,
		"PriorityClassName": kept, "Priority": kept, "DNSConfig": kept, "ReadinessGates": forced, "RuntimeClassName": kept,
		"PreemptionPolicy": kept, "Overhead": kept, "TopologySpreadConstraints": kept, "SetHostnameAsFQDN": kept, "OS": kept,
		"SchedulingGates": kept, "ResourceClaims": kept, "Resources": kept, "HostnameOverride": kept, "SchedulingGroup": kept,
		"EvictionResponders": kept,
	}
	got := map[string]string{}
	for field := range reflect.TypeFor[corev1.PodSpec]().Fields() {
		class := build.Class("opencode").Obj()
		given := filled(&class.Spec.PodTemplate.Spec, field.Name)
		got[field.Name] = fate(given, reflect.ValueOf(podOf(class).Spec).FieldByIndex(field.Index))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what became of the fields (-decided on +found):\n%s", diff)
	}
}

// Whoever updates k8s.io/api decides here on a new field of Container.
func TestEveryFieldOfTheAgentsContainerIsKeptOrForced(t *testing.T) {
	want := map[string]string{
		"Name": kept, "Image": kept, "Ports": kept, "ResizePolicy": kept, "VolumeDevices": kept, "ImagePullPolicy": kept,
		"EnvFrom": kept, // refused by InvalidTemplate
		"Env":     addedTo, "VolumeMounts": addedTo,
		"SecurityContext": kept,
		"Resources":       forced, // completed, as the tests of resourcesFor say
		"Command":         forced, "Args": forced, "WorkingDir": forced, "RestartPolicy": forced, "RestartPolicyRules": forced,
		"LivenessProbe": forced, "ReadinessProbe": forced, "StartupProbe": forced, "Lifecycle": forced,
		"TerminationMessagePath": forced, "TerminationMessagePolicy": forced, "Stdin": forced, "StdinOnce": forced, "TTY": forced,
	}
	got := map[string]string{}
	for field := range reflect.TypeFor[corev1.Container]().Fields() {
		class := build.Class("opencode").Obj()
		given := filled(&class.Spec.PodTemplate.Spec.Containers[0], field.Name)
		got[field.Name] = fate(given, reflect.ValueOf(podOf(class).Spec.Containers[0]).FieldByIndex(field.Index))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what became of the fields (-decided on +found):\n%s", diff)
	}
}

// filled sets a field, and everything in it, and returns a copy of its value.
func filled[T any](o *T, field string) reflect.Value {
	value := reflect.ValueOf(o).Elem().FieldByName(field)
	fill := randfill.NewWithSeed(1).NilChance(0).NumElements(1, 1).MaxDepth(12).Funcs(
		func(b *bool, _ randfill.Continue) { *b = true },
		func(i *int64, _ randfill.Continue) { *i = 77 },
		func(q *resource.Quantity, _ randfill.Continue) { *q = resource.MustParse("7") },
	)
	if field != "Containers" {
		fill.Fill(value.Addr().Interface())
	}
	given := reflect.New(value.Type()).Elem()
	given.Set(value)
	return given
}

// fate compares a field of a template with the same field of the pod.
func fate(given, got reflect.Value) string {
	if equality.Semantic.DeepEqual(given.Interface(), got.Interface()) {
		return kept
	}
	if given.Kind() == reflect.Slice && got.Len() >= given.Len() {
		entries := slices.Collect(func(yield func(string) bool) {
			for i := range got.Len() {
				if !yield(nameOf(got.Index(i))) {
					return
				}
			}
		})
		for i := range given.Len() {
			if !slices.Contains(entries, nameOf(given.Index(i))) {
				return forced
			}
		}
		return addedTo
	}
	return forced
}

func nameOf(entry reflect.Value) string {
	if entry.Kind() != reflect.Struct || !entry.FieldByName("Name").IsValid() {
		return fmt.Sprint(entry)
	}
	return entry.FieldByName("Name").String()
}

func TestForcedFieldsHaveTheseValues(t *testing.T) {
	class := build.Class("opencode").Template(func(spec *corev1.PodSpec) {
		spec.RestartPolicy = corev1.RestartPolicyAlways
		spec.ServiceAccountName, spec.DeprecatedServiceAccount = "admin", "admin"
		spec.AutomountServiceAccountToken, spec.ShareProcessNamespace = new(true), new(true)
		spec.HostNetwork, spec.HostPID, spec.HostIPC = true, true, true
		spec.NodeName, spec.ActiveDeadlineSeconds, spec.EnableServiceLinks = "node-1", new(int64(1)), new(true)
	}).Obj()
	got := podOf(class).Spec
	want := *got.DeepCopy()
	want.RestartPolicy = corev1.RestartPolicyNever
	want.ServiceAccountName, want.DeprecatedServiceAccount = "", ""
	want.AutomountServiceAccountToken, want.ShareProcessNamespace = new(false), nil
	want.HostNetwork, want.HostPID, want.HostIPC = false, false, false
	want.NodeName, want.ActiveDeadlineSeconds, want.EnableServiceLinks = "", nil, new(false)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

func TestSandboxdRunsAndNothingElse(t *testing.T) {
	hook := &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/evil"}}}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: hook.Exec}}
	class := build.Class("opencode").AgentContainer(func(c *corev1.Container) {
		c.Command, c.Args = []string{"/evil"}, []string{"--more"}
		c.Lifecycle = &corev1.Lifecycle{PostStart: hook, PreStop: hook}
		c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = probe, probe, probe
		c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	}).Obj()
	if diff := cmp.Diff(podOf(build.Class("opencode").Obj()).Spec.Containers, podOf(class).Spec.Containers); diff != "" {
		t.Errorf("containers (-of the least template +of one with its own program):\n%s", diff)
	}
}

// A failed mount shows in an Event only; a reference that cannot be followed shows in the status of its container.
func TestAMissingKeyShowsInThePodWhateverTheDelivery(t *testing.T) {
	for _, delivery := range []v1alpha1.Delivery{v1alpha1.DeliveryEnv, v1alpha1.DeliveryFile} {
		t.Run(string(delivery), func(t *testing.T) {
			pod := podOf(build.Class("opencode").Obj(), resolved("anthropic", delivery))
			want := []corev1.EnvVar{{Name: "SANDKEEP_API_KEY_0", ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{
					LocalObjectReference: corev1.LocalObjectReference{Name: "anthropic-shared"}, Key: "api-key",
				},
			}}}
			if diff := cmp.Diff(want, pod.Spec.InitContainers[0].Env); diff != "" {
				t.Errorf("variables of the first init container (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAKeyReachesTheAgentInItsDeliveryOnly(t *testing.T) {
	type ways struct{ Variables, Files int }
	cases := map[string]struct {
		credentials []credential.Resolved
		want        ways
	}{
		"no credential":     {nil, ways{}},
		"Env delivery":      {[]credential.Resolved{resolved("anthropic", v1alpha1.DeliveryEnv)}, ways{Variables: 1}},
		"File delivery":     {[]credential.Resolved{resolved("anthropic", v1alpha1.DeliveryFile)}, ways{Files: 1}},
		"Proxy delivery":    {[]credential.Resolved{resolved("anthropic", v1alpha1.DeliveryProxy)}, ways{}},
		"an admin's, Env":   {[]credential.Resolved{ofAdmin(resolved("anthropic", v1alpha1.DeliveryEnv))}, ways{}},
		"an admin's, File":  {[]credential.Resolved{ofAdmin(resolved("anthropic", v1alpha1.DeliveryFile))}, ways{}},
		"both, one of each": {[]credential.Resolved{resolved("a", v1alpha1.DeliveryFile), resolved("b", v1alpha1.DeliveryEnv)}, ways{1, 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			spec := podOf(build.Class("opencode").Obj(), c.credentials...).Spec
			var got ways
			for _, e := range spec.Containers[0].Env {
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					got.Variables++
				}
			}
			for _, v := range spec.Volumes {
				if v.Projected != nil && v.Name == volumeCredentials {
					got.Files += len(v.Projected.Sources)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("ways of a key (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAWorkspaceIsWhatTheSessionAsksForThenWhatItsClassSays(t *testing.T) {
	type claim struct{ Name, Size, StorageClass string }
	cases := map[string]struct {
		session *build.SessionBuilder
		class   *build.ClassBuilder
		want    *claim
	}{
		"nobody asks":                {build.Session("s"), build.Class("c"), nil},
		"the class asks":             {build.Session("s"), build.Class("c").Workspace("5Gi", "fast"), &claim{"s-workspace", "5Gi", "fast"}},
		"the Session asks":           {build.Session("s").Workspace("7Gi", "slow"), build.Class("c"), &claim{"s-workspace", "7Gi", "slow"}},
		"the Session goes first":     {build.Session("s").Workspace("7Gi", "slow"), build.Class("c").Workspace("5Gi", "fast"), &claim{"s-workspace", "7Gi", "slow"}},
		"the class fills in a size":  {build.Session("s").Workspace("", "slow"), build.Class("c").Workspace("5Gi", "fast"), &claim{"s-workspace", "5Gi", "slow"}},
		"the class fills in a class": {build.Session("s").Workspace("7Gi", ""), build.Class("c").Workspace("5Gi", "fast"), &claim{"s-workspace", "7Gi", "fast"}},
		"nobody says more":           {build.Session("s").Workspace("", ""), build.Class("c"), &claim{"s-workspace", "10Gi", ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			session, class := c.session.Obj(), c.class.Obj()
			var got *claim
			if pvc := Workspace(session, class); pvc != nil {
				got = &claim{Name: pvc.Name, Size: pvc.Spec.Resources.Requests.Storage().String()}
				if pvc.Spec.StorageClassName != nil {
					got.StorageClass = *pvc.Spec.StorageClassName
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
			if keep := ConfigFor(ConfigInput{Session: session, Class: class, Run: 1}).KeepWorkspace; keep != (c.want != nil) {
				t.Errorf("the run is told keepWorkspace %t", keep)
			}
		})
	}
}

func TestOnlyTheSessionOfOneLifeOwnsAnObject(t *testing.T) {
	session := build.Session("fix-login").Obj()
	pod := podOf(build.Class("opencode").Obj())
	namesake := build.Session("fix-login").With(func(s *v1alpha1.Session) { s.UID = "another-life" }).Obj()
	got := map[string]bool{"its Session": OwnedBy(pod, session), "a namesake": OwnedBy(pod, namesake), "nobody's": OwnedBy(&corev1.Pod{}, session)}
	if diff := cmp.Diff(map[string]bool{"its Session": true, "a namesake": false, "nobody's": false}, got); diff != "" {
		t.Errorf("owned (-want +got):\n%s", diff)
	}
}

func TestResourcesOfTheAgentAreLayered(t *testing.T) {
	list := func(pairs ...string) corev1.ResourceList {
		l := corev1.ResourceList{}
		for i := 0; i < len(pairs); i += 2 {
			l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
		}
		return l
	}
	cases := map[string]struct {
		class                    corev1.ResourceRequirements
		asked                    *v1alpha1.Resources
		wantRequests, wantLimits corev1.ResourceList
	}{
		"nobody says anything": {
			corev1.ResourceRequirements{}, nil,
			list("cpu", "250m", "memory", "512Mi", "ephemeral-storage", "1Gi"), list("cpu", "4", "memory", "4Gi", "ephemeral-storage", "20Gi"),
		},
		"the class goes over the defaults": {
			corev1.ResourceRequirements{Requests: list("cpu", "1"), Limits: list("memory", "8Gi")}, nil,
			list("cpu", "1", "memory", "512Mi", "ephemeral-storage", "1Gi"), list("cpu", "4", "memory", "8Gi", "ephemeral-storage", "20Gi"),
		},
		"the Session goes over the class": {
			corev1.ResourceRequirements{Requests: list("cpu", "1"), Limits: list("cpu", "2")},
			&v1alpha1.Resources{Requests: list("cpu", "2"), Limits: list("cpu", "3")},
			list("cpu", "2", "memory", "512Mi", "ephemeral-storage", "1Gi"), list("cpu", "3", "memory", "4Gi", "ephemeral-storage", "20Gi"),
		},
		"a lower limit of the class cuts the default request": {
			corev1.ResourceRequirements{Limits: list("memory", "256Mi")}, nil,
			list("cpu", "250m", "memory", "256Mi", "ephemeral-storage", "1Gi"), list("cpu", "4", "memory", "256Mi", "ephemeral-storage", "20Gi"),
		},
		"a lower limit of the Session cuts the request of the class": {
			corev1.ResourceRequirements{Requests: list("memory", "4Gi")}, &v1alpha1.Resources{Limits: list("memory", "2Gi")},
			list("cpu", "250m", "memory", "2Gi", "ephemeral-storage", "1Gi"), list("cpu", "4", "memory", "2Gi", "ephemeral-storage", "20Gi"),
		},
		"a greater request of the Session lifts the limit of the class": {
			corev1.ResourceRequirements{Limits: list("memory", "1Gi")}, &v1alpha1.Resources{Requests: list("memory", "6Gi")},
			list("cpu", "250m", "memory", "6Gi", "ephemeral-storage", "1Gi"), list("cpu", "4", "memory", "6Gi", "ephemeral-storage", "20Gi"),
		},
		"a resource without a default is passed on": {
			corev1.ResourceRequirements{Limits: list("nvidia.com/gpu", "1")}, nil,
			list("cpu", "250m", "memory", "512Mi", "ephemeral-storage", "1Gi"),
			list("cpu", "4", "memory", "4Gi", "ephemeral-storage", "20Gi", "nvidia.com/gpu", "1"),
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			want := corev1.ResourceRequirements{Requests: c.wantRequests, Limits: c.wantLimits}
			if diff := cmp.Diff(want, resourcesFor(c.class, c.asked)); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPodOfAnySessionKeepsTheFencesOfItsClass(t *testing.T) {
	plain := build.Session("s")
	hostile := build.Session("s").Env("SHELL", "/bin/sh").Model("m").Repository("https://git.example/app.git", "b").
		Prompt("$(reboot)").ActiveDeadline(1).Suspend()
	class := build.Class("opencode")
	pod := func(s *build.SessionBuilder) *corev1.Pod {
		return Pod(scenario{s, class, nil, 1}.input())
	}
	if diff := cmp.Diff(pod(plain), pod(hostile)); diff != "" {
		t.Errorf("pod (-of a plain Session +of one that asks for much):\n%s", diff)
	}
}
