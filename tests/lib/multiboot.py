"""multiboot: small programs in assembler, which `lodge run` starts as a kernel."""
import os
import subprocess

INCLUDES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../programs/")


def assemble(source, elf):
    """Makes the ELF file `elf` of a file for nasm; needs nasm and ld."""
    obj = elf + ".o"
    subprocess.run(["nasm", "-f", "elf32", "-I", INCLUDES, "-o", obj, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-N", "--no-warn-rwx-segments", "-Ttext=0x100000",
                    "-Tdata=0x102000", "-Tbss=0x103000", "-o", elf, obj], check=True)
    return elf
