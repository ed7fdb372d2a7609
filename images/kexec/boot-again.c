/* boot-again KERNEL INITRD OPTIONS: loads a kernel by kexec_file_load(2) and boots it at once. For the first program, which
 * has nothing to stop. */
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words)
{
    if (count != 4) {
        fputs("boot-again KERNEL INITRD OPTIONS\n", stderr);
        return 2;
    }
    int kernel = open(words[1], O_RDONLY | O_CLOEXEC);
    int initrd = open(words[2], O_RDONLY | O_CLOEXEC);
    if (kernel < 0 || initrd < 0) {
        perror(kernel < 0 ? words[1] : words[2]);
        return 1;
    }
    if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(words[3]) + 1, words[3], 0UL) != 0) {
        perror("kexec_file_load");
        return 1;
    }
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    perror("reboot");
    return 1;
}
