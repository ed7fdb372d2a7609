/* poweroff, or reboot when called so: ends the system at once. For the first program, which has nothing to stop. */
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(int count, char **words)
{
    const char *name = count > 0 ? strrchr(words[0], '/') : NULL;

    sync();
    return reboot(name && strcmp(name, "/reboot") == 0 ? RB_AUTOBOOT : RB_POWER_OFF);
}
