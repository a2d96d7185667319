package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func TestVolumeIsADirectoryOfTheSelectedNode(t *testing.T) {
	want := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-1"},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			AccessModes:                   []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			MountOptions:                  []string{"noatime"},
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/volumes/pvc-1"}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
					Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpIn, Values: []string{"node-1"},
				}}}},
			}},
		},
	}
	if diff := cmp.Diff(want, volume(claimed("pvc-1"), "/volumes/pvc-1")); diff != "" {
		t.Errorf("volume (-want +got):\n%s", diff)
	}
}

func TestVolumesComeAndGoOneByOne(t *testing.T) {
	d := directories{root: filepath.Join(t.TempDir(), "volumes")}
	first, second := provisioned(t, d, "pvc-1"), provisioned(t, d, "pvc-2")
	if again := provisioned(t, d, "pvc-1"); cmp.Diff(first, again) != "" {
		t.Error("provisioning again, as after a failed write to the API server, makes another volume")
	}
	if err := os.WriteFile(filepath.Join(first.Spec.Local.Path, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to delete
		if err := d.Delete(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(first.Spec.Local.Path); !os.IsNotExist(err) {
		t.Errorf("the directory of a deleted volume is still there: %v", err)
	}
	if _, err := os.Stat(second.Spec.Local.Path); err != nil {
		t.Errorf("another volume is gone: %v", err)
	}
}

func TestVolumeThatCannotBeMadeIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := (directories{root: file}).Provision(t.Context(), claimed("pvc-1")); err == nil {
		t.Error("a volume was made below a file")
	}
}

func provisioned(t *testing.T, d directories, name string) *corev1.PersistentVolume {
	t.Helper()
	pv, state, err := d.Provision(t.Context(), claimed(name))
	if err != nil || state != controller.ProvisioningFinished {
		t.Fatalf("state %s, error %v", state, err)
	}
	info, err := os.Stat(pv.Spec.Local.Path)
	if err != nil {
		t.Fatal(err)
	}
	// Group and others may look, and only an fsGroup lets a pod write that does not run as root.
	if got := info.Mode().Perm(); got != 0o755 {
		t.Errorf("the directory has mode %s", got)
	}
	return pv
}

func claimed(name string) controller.ProvisionOptions {
	policy := corev1.PersistentVolumeReclaimRetain
	return controller.ProvisionOptions{
		PVName:           name,
		SelectedNodeName: "node-1",
		StorageClass:     &storagev1.StorageClass{ReclaimPolicy: &policy, MountOptions: []string{"noatime"}},
		PVC: &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			},
		}},
	}
}
