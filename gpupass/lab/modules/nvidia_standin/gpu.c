// SPDX-License-Identifier: GPL-2.0
/* A whole GPU: what /proc/driver/nvidia/gpus tells of it, /dev/nvidiaN to hold it open, and the lock before an unbind.
   As NVIDIA's, its removal waits for ever while somebody holds it (open-gpu-kernel-modules nv-pci.c, nv-procfs.c). */
#include <linux/cdev.h>
#include <linux/delay.h>
#include <linux/device/class.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "standin.h"

#define MAJOR_NUMBER 195
#define VERSION "580.00.00"

static char *model = "NVIDIA A100-SXM4-40GB";
module_param(model, charp, 0444);
MODULE_PARM_DESC(model, "what every GPU says it is");

static uint board;
module_param(board, uint, 0444);
MODULE_PARM_DESC(board, "0: a UUID holds the PCI address, else: this number and the device minor, as the NVML double's");

struct gpu {
	struct list_head all;
	struct pci_dev *pdev;
	struct card *card; /* NULL: it has no virtual functions */
	struct proc_dir_entry *folder;
	unsigned int minor;
	unsigned int users;
	bool locked;
};

static LIST_HEAD(gpus);
static DEFINE_MUTEX(gpus_lock);
static struct proc_dir_entry *driver_folder, *gpus_folder;

static int nvidia_uevent(const struct device *dev, struct kobj_uevent_env *env)
{
	return add_uevent_var(env, "DEVMODE=%#o", 0666);
}

static struct class nvidia_class = { .name = "nvidia_standin", .dev_uevent = nvidia_uevent };

/* -- /dev/nvidiaN ----------------------------------------------------------------------------------- */

static int nvidia_open(struct inode *inode, struct file *file)
{
	struct gpu *gpu;
	int error = -ENODEV;

	mutex_lock(&gpus_lock);
	list_for_each_entry(gpu, &gpus, all) {
		if (gpu->minor != iminor(inode))
			continue;
		error = gpu->locked ? -EBUSY : 0;
		if (!error) {
			gpu->users++;
			file->private_data = gpu;
		}
		break;
	}
	mutex_unlock(&gpus_lock);
	return error;
}

static int nvidia_release(struct inode *inode, struct file *file)
{
	struct gpu *gpu = file->private_data;

	mutex_lock(&gpus_lock);
	gpu->users--;
	mutex_unlock(&gpus_lock);
	return 0;
}

static const struct file_operations nvidia_fops = {
	.owner = THIS_MODULE,
	.open = nvidia_open,
	.release = nvidia_release,
};

/* -- /proc/driver/nvidia ---------------------------------------------------------------------------- */

static int version_show(struct seq_file *file, void *unused)
{
	seq_puts(file, "NVRM version: gpupass lab stand-in of the NVIDIA UNIX Kernel Module  " VERSION "\n");
	return 0;
}

static int information_show(struct seq_file *file, void *unused)
{
	struct gpu *gpu = file->private;
	struct pci_dev *pdev = gpu->pdev;
	u32 address = pci_domain_nr(pdev->bus) << 16 | pdev->bus->number << 8 | pdev->devfn;

	seq_printf(file, "Model: \t\t %s\n", model);
	seq_printf(file, "IRQ:   \t\t %u\n", pdev->irq);
	seq_printf(file, "GPU UUID: \t GPU-%08x-0000-4000-8000-%012x\n", board, board ? gpu->minor : address);
	seq_puts(file, "Video BIOS: \t 92.00.45.00.06\n");
	seq_puts(file, "Bus Type: \t PCIe\n");
	seq_puts(file, "DMA Size: \t 47 bits\n");
	seq_puts(file, "DMA Mask: \t 0x7fffffffffff\n");
	seq_printf(file, "Bus Location: \t %s\n", pci_name(pdev));
	seq_printf(file, "Device Minor: \t %u\n", gpu->minor);
	seq_puts(file, "GPU Firmware: \t " VERSION "\n");
	seq_puts(file, "GPU Excluded:\t No\n");
	return 0;
}

static int unbind_lock_show(struct seq_file *file, void *unused)
{
	struct gpu *gpu = file->private;

	seq_printf(file, "%d\n", gpu->locked);
	return 0;
}

static int unbind_lock_open(struct inode *inode, struct file *file)
{
	return single_open(file, unbind_lock_show, pde_data(inode));
}

/* A write never fails: whether the lock was granted is told by reading it. */
static ssize_t unbind_lock_write(struct file *file, const char __user *from, size_t size, loff_t *at)
{
	struct gpu *gpu = pde_data(file_inode(file));
	unsigned int value;
	int error = kstrtouint_from_user(from, size, 10, &value);

	if (error)
		return error;
	mutex_lock(&gpus_lock);
	if (!value)
		gpu->locked = false;
	else if (!gpu->users && !(gpu->card && card_in_use(gpu->card)))
		gpu->locked = true;
	mutex_unlock(&gpus_lock);
	return size;
}

static const struct proc_ops unbind_lock_ops = {
	.proc_open = unbind_lock_open,
	.proc_read = seq_read,
	.proc_write = unbind_lock_write,
	.proc_lseek = seq_lseek,
	.proc_release = single_release,
};

/* -- bound and unbound ------------------------------------------------------------------------------ */

static unsigned int free_minor(void)
{
	unsigned int minor = 0;
	struct gpu *gpu;

again:
	list_for_each_entry(gpu, &gpus, all) {
		if (gpu->minor == minor) {
			minor++;
			goto again;
		}
	}
	return minor;
}

int gpu_probe(struct pci_dev *pdev)
{
	struct gpu *gpu = kzalloc(sizeof(*gpu), GFP_KERNEL);
	struct device *node;

	if (!gpu)
		return -ENOMEM;
	gpu->pdev = pdev;
	if (pdev->is_physfn) {
		gpu->card = card_get(pdev);
		if (IS_ERR(gpu->card)) {
			int error = PTR_ERR(gpu->card);

			kfree(gpu);
			return error;
		}
	}
	pci_set_drvdata(pdev, gpu);
	mutex_lock(&gpus_lock);
	gpu->minor = free_minor();
	list_add_tail(&gpu->all, &gpus);
	mutex_unlock(&gpus_lock);
	node = device_create(&nvidia_class, &pdev->dev, MKDEV(MAJOR_NUMBER, gpu->minor), NULL, "nvidia%u", gpu->minor);
	if (IS_ERR(node))
		pci_warn(pdev, "no /dev/nvidia%u: %ld\n", gpu->minor, PTR_ERR(node));
	gpu->folder = proc_mkdir(pci_name(pdev), gpus_folder);
	if (gpu->folder) {
		proc_create_single_data("information", 0444, gpu->folder, information_show, gpu);
		proc_create_data("unbindLock", 0644, gpu->folder, &unbind_lock_ops, gpu);
	}
	return 0;
}

static bool let_go(struct gpu *gpu)
{
	bool idle;

	mutex_lock(&gpus_lock);
	idle = !gpu->users && !(gpu->card && card_in_use(gpu->card));
	if (idle)
		list_del(&gpu->all);
	mutex_unlock(&gpus_lock);
	return idle;
}

void gpu_remove(struct pci_dev *pdev)
{
	struct gpu *gpu = pci_get_drvdata(pdev);
	bool told = false;

	while (!let_go(gpu)) {
		if (!told)
			pci_err(pdev, "NVRM: Attempting to remove device with non-zero usage count!\n");
		told = true;
		msleep(500);
	}
	proc_remove(gpu->folder);
	device_destroy(&nvidia_class, MKDEV(MAJOR_NUMBER, gpu->minor));
	if (gpu->card)
		card_wipe(gpu->card);
	pci_set_drvdata(pdev, NULL);
	kfree(gpu);
}

int gpus_begin(void)
{
	int error = class_register(&nvidia_class);

	if (error)
		return error;
	error = register_chrdev(MAJOR_NUMBER, "nvidia", &nvidia_fops);
	if (error) {
		class_unregister(&nvidia_class);
		return error;
	}
	driver_folder = proc_mkdir("driver/nvidia", NULL);
	gpus_folder = proc_mkdir("gpus", driver_folder);
	proc_create_single("version", 0444, driver_folder, version_show);
	return 0;
}

void gpus_end(void)
{
	proc_remove(driver_folder);
	unregister_chrdev(MAJOR_NUMBER, "nvidia");
	class_unregister(&nvidia_class);
}
