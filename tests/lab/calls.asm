; A multiboot program that does nothing but leave the guest: a port, a device's register, for ever.
bits 32
section .text
align 4
	dd 0x1badb002, 0, -0x1badb002	; multiboot header

global _start
_start:
	cli
	mov	edi, 0xfec00000		; IOAPIC: which register
again:
	out	0x80, al
	mov	dword [edi], 1
	jmp	again
