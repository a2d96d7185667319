package sandbox

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestATemplateThatCanBecomeASandboxIsAccepted(t *testing.T) {
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff("", InvalidTemplate(s.class.Obj())); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATemplateThatCannotBecomeASandboxIsRefused(t *testing.T) {
	sidecar := func(name string) corev1.Container {
		return corev1.Container{Name: name, Image: "i", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}
	}
	cases := map[string]struct {
		change func(*corev1.PodSpec)
		want   string
	}{
		"no container": {
			func(s *corev1.PodSpec) { s.Containers = nil },
			`podTemplate must have exactly one container, named "agent"; make helpers init containers with restartPolicy Always`,
		},
		"two containers": {
			func(s *corev1.PodSpec) {
				s.Containers = append(s.Containers, corev1.Container{Name: "helper", Image: "i"})
			},
			`podTemplate must have exactly one container, named "agent"; make helpers init containers with restartPolicy Always`,
		},
		"a container of another name": {
			func(s *corev1.PodSpec) { s.Containers[0].Name = "main" },
			`podTemplate must have exactly one container, named "agent"; make helpers init containers with restartPolicy Always`,
		},
		"an agent without an image": {
			func(s *corev1.PodSpec) { s.Containers[0].Image = "" },
			`podTemplate's container "agent" has no image; name one that holds the agent and git`,
		},
		"an init container that ends": {
			func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{{Name: "setup", Image: "i"}} },
			`podTemplate's init container "setup" must have restartPolicy Always, which makes it a sidecar`,
		},
		"a sidecar that restarts after failures only": {
			func(s *corev1.PodSpec) {
				c := sidecar("proxy")
				c.RestartPolicy = new(corev1.ContainerRestartPolicyOnFailure)
				s.InitContainers = []corev1.Container{c}
			},
			`podTemplate's init container "proxy" must have restartPolicy Always, which makes it a sidecar`,
		},
		"a sidecar with the name of Sandkeep's init container": {
			func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{sidecar("sandkeep-install")} },
			`podTemplate must not have a container named "sandkeep-install", which Sandkeep adds; rename it`,
		},
		"envFrom": {
			func(s *corev1.PodSpec) {
				s.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{}}}
			},
			`podTemplate's container "agent" has envFrom, which brings variables nobody has listed; name each variable in env`,
		},
		"a variable from a Secret": {
			func(s *corev1.PodSpec) { s.Containers[0].Env = fromSecret("TOKEN") },
			`podTemplate's container "agent" takes variable TOKEN from a Secret; make a Credential for the key instead`,
		},
		"a variable from a Secret in a sidecar": {
			func(s *corev1.PodSpec) {
				c := sidecar("proxy")
				c.Env = fromSecret("TOKEN")
				s.InitContainers = []corev1.Container{c}
			},
			`podTemplate's container "proxy" takes variable TOKEN from a Secret; make a Credential for the key instead`,
		},
		"a variable that is Sandkeep's": {
			func(s *corev1.PodSpec) { s.Containers[0].Env = []corev1.EnvVar{{Name: "SANDKEEP_CONFIG_DIGEST"}} },
			`podTemplate's container "agent" sets SANDKEEP_CONFIG_DIGEST, but names that begin with SANDKEEP_ are reserved; rename it`,
		},
		"a privileged agent": {
			func(s *corev1.PodSpec) {
				s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
			},
			`podTemplate's container "agent" is privileged, which a sandbox must not be; remove privileged`,
		},
		"a privileged sidecar": {
			func(s *corev1.PodSpec) {
				c := sidecar("proxy")
				c.SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
				s.InitContainers = []corev1.Container{c}
			},
			`podTemplate's container "proxy" is privileged, which a sandbox must not be; remove privileged`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := InvalidTemplate(build.Class("opencode").Template(c.change).Obj())
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotPrivilegedIsNotRefused(t *testing.T) {
	class := build.Class("opencode").AgentContainer(func(c *corev1.Container) {
		c.SecurityContext = &corev1.SecurityContext{Privileged: new(false)}
	}).Obj()
	if diff := cmp.Diff("", InvalidTemplate(class)); diff != "" {
		t.Errorf("problem (-want +got):\n%s", diff)
	}
}

// Whoever updates k8s.io/api decides here on a new kind of volume, which is refused until then.
func TestEveryKindOfVolumeIsPermittedOrRefused(t *testing.T) {
	const notPermitted = "volume of a kind that is not permitted (emptyDir, configMap, downwardAPI, persistentVolumeClaim, ephemeral, image and csi are)"
	want := map[string]string{
		"EmptyDir": "", "ConfigMap": "", "DownwardAPI": "", "PersistentVolumeClaim": "", "Ephemeral": "", "Image": "", "CSI": "",
		"Projected": "", // as long as each of its sources is permitted
		"HostPath":  "hostPath",
		"Secret":    "secret",
	}
	for _, kind := range []string{
		"GCEPersistentDisk", "AWSElasticBlockStore", "GitRepo", "NFS", "ISCSI", "Glusterfs", "RBD", "FlexVolume", "Cinder", "CephFS",
		"Flocker", "FC", "AzureFile", "VsphereVolume", "Quobyte", "AzureDisk", "PhotonPersistentDisk", "PortworxVolume", "ScaleIO", "StorageOS",
	} {
		want[kind] = notPermitted
	}
	got := map[string]string{}
	for field := range reflect.TypeFor[corev1.VolumeSource]().Fields() {
		var source corev1.VolumeSource
		set(&source, field.Name)
		got[field.Name] = kindRefused(t, source)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is wrong with the kinds (-decided on +found):\n%s", diff)
	}
	if diff := cmp.Diff(notPermitted, kindRefused(t, corev1.VolumeSource{})); diff != "" {
		t.Errorf("what is wrong with a volume of an unknown kind (-want +got):\n%s", diff)
	}
}

// Whoever updates k8s.io/api decides here on a new source of projected volumes, which is refused until then.
func TestEverySourceOfAProjectedVolumeIsPermittedOrRefused(t *testing.T) {
	const refused = "projected volume with a Secret, a token or a certificate"
	want := map[string]string{
		"ConfigMap": "", "DownwardAPI": "", "ClusterTrustBundle": "",
		"Secret": refused, "ServiceAccountToken": refused, "PodCertificate": refused,
	}
	got := map[string]string{}
	harmless := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{}}
	for field := range reflect.TypeFor[corev1.VolumeProjection]().Fields() {
		var source corev1.VolumeProjection
		set(&source, field.Name)
		got[field.Name] = kindRefused(t, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{harmless, source},
		}})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is wrong with the sources (-decided on +found):\n%s", diff)
	}
}

func TestACSIVolumeMustNotReadASecret(t *testing.T) {
	got := kindRefused(t, corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
		Driver: "d", NodePublishSecretRef: &corev1.LocalObjectReference{Name: "s"},
	}})
	if diff := cmp.Diff("csi volume with nodePublishSecretRef", got); diff != "" {
		t.Errorf("what is wrong with it (-want +got):\n%s", diff)
	}
}

// Whoever updates k8s.io/api decides here on a new source of variables.
func TestEverySourceOfAVariableIsPermittedOrRefused(t *testing.T) {
	want := map[string]bool{"FieldRef": true, "ResourceFieldRef": true, "ConfigMapKeyRef": true, "FileKeyRef": true, "SecretKeyRef": false}
	got := map[string]bool{}
	for field := range reflect.TypeFor[corev1.EnvVarSource]().Fields() {
		source := &corev1.EnvVarSource{}
		set(source, field.Name)
		got[field.Name] = InvalidTemplate(build.Class("opencode").AgentContainer(func(c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "V", ValueFrom: source}}
		}).Obj()) == ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("permitted (-decided on +found):\n%s", diff)
	}
}

func TestSandkeepsVolumesAndPathsAreReserved(t *testing.T) {
	for _, name := range []string{
		"sandkeep-bin", "sandkeep-config", "sandkeep-credentials", "sandkeep-private", "sandkeep-workspace", "sandkeep-home", "sandkeep-tmp",
	} {
		want := `podTemplate must not have a volume named "` + name + `", which Sandkeep adds; rename it`
		if diff := cmp.Diff(want, InvalidTemplate(withVolume(name, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))); diff != "" {
			t.Errorf("volume %s: problem (-want +got):\n%s", name, diff)
		}
	}
	paths := map[string]bool{
		"/workspace": true, "/workspace/": true, "//workspace": true, "/workspace/.": true, "/home/../workspace": true,
		"/home/sandkeep": true, "/tmp": true, "/sandkeep": true, "/sandkeep/bin": true, "/sandkeep/anything": true, "/tmp/../sandkeep/bin": true,
		"/workspace/cache": false, "/home/sandkeep/.cache": false, "/home": false, "/tmpfs": false, "/sandkeeper": false, "/var/tmp": false,
	}
	for path, reserved := range paths {
		problem := InvalidTemplate(build.Class("opencode").AgentContainer(func(c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{{Name: "v", MountPath: path}}
		}).Obj())
		want := ""
		if reserved {
			want = `podTemplate's container "agent" mounts a volume at ` + path + `, where Sandkeep mounts its own; choose another path`
		}
		if diff := cmp.Diff(want, problem); diff != "" {
			t.Errorf("path %s: problem (-want +got):\n%s", path, diff)
		}
	}
}

func fromSecret(name string) []corev1.EnvVar {
	return []corev1.EnvVar{{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "k"}}}}
}

func withVolume(name string, source corev1.VolumeSource) *v1alpha1.SessionClass {
	return build.Class("opencode").Template(func(s *corev1.PodSpec) {
		s.Volumes = []corev1.Volume{{Name: name, VolumeSource: source}}
	}).Obj()
}

// set makes a field that is a pointer point to a zero value.
func set[T any](o *T, field string) {
	value := reflect.ValueOf(o).Elem().FieldByName(field)
	value.Set(reflect.New(value.Type().Elem()))
}

// kindRefused is what is said to be wrong with the kind of a volume, or empty.
func kindRefused(t *testing.T, source corev1.VolumeSource) string {
	t.Helper()
	problem := InvalidTemplate(withVolume("v", source))
	if problem == "" {
		return ""
	}
	kind, found := strings.CutPrefix(problem, `podTemplate's volume "v" is a `)
	kind, cut := strings.CutSuffix(kind, ", which a sandbox must not have; remove it")
	if !found || !cut {
		t.Errorf("unexpected problem %q", problem)
	}
	return kind
}
