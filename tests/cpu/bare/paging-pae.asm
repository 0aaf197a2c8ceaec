; paging-pae: PAE paging in 32-bit mode; SDM volume 3, 4.4
%include "rt.inc"

section .bss
	alignb 4096
pd:	resb 4 * 4096
table:	resb 4096
frame_a: resb 4096
frame_b: resb 4096
	alignb 32
pdpt:	resb 32

section .text
bits 32
VIRT equ 0x40000000
BIG equ 0x80000000
main:
	xor ecx, ecx
.pdpt:	mov eax, ecx
	shl eax, 12
	add eax, pd + 1
	mov [pdpt + ecx * 8], eax
	inc ecx
	cmp ecx, 4
	jb .pdpt
	xor ecx, ecx
.pd:	mov eax, ecx
	shl eax, 21
	or eax, 0x87
	mov [pd + ecx * 8], eax
	inc ecx
	cmp ecx, 2048
	jb .pd
	mov dword [pd + (VIRT >> 21) * 8], table + 7
	mov dword [pd + (BIG >> 21) * 8], 0x87
	mov dword [pd + (BIG >> 21) * 8 + 8], 0
	mov dword [table], frame_a + 7
	mov dword [table + 8], frame_b + 7
	mov dword [table + 24], frame_a + 5
	mov dword [table + 32], frame_a + 3
	mov dword [frame_a], 0xaaaa0001
	mov dword [frame_b], 0xbbbb0002
	mov eax, cr4
	or eax, 0x20
	mov cr4, eax
	mov eax, pdpt
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000
	mov cr0, eax
	jmp .on
.on:
	EQ [VIRT], 0xaaaa0001, "4 KiB page"
	EQ [VIRT + 0x1000], 0xbbbb0002, "second 4 KiB page"
	mov dword [frame_a + 0x40], 0x1111
	EQ [BIG + frame_a + 0x40], 0x1111, "2 MiB page"
	FAULTS "missing page", VEC_PF, 0, mov eax, [VIRT + 0x2000]
	FAULTS "missing page, write", VEC_PF, 2, mov [VIRT + 0x2000], eax
	FAULTS "missing directory entry", VEC_PF, 2, mov [BIG + 0x200000], eax
	FAULTS "read-only page", VEC_PF, 3, mov [VIRT + 0x3000], eax
	USER .u_super
	WAS "user, supervisor page", VEC_PF, 5, .u_super
	; a frame above 4 GiB: nothing is there, yet the entry is good
	mov dword [table + 40 + 4], 1
	mov dword [table + 40], 7
	RUNS "frame above 4 GiB", mov eax, [VIRT + 0x5000]
	; reserved bits: above the physical address width, and 20:13 of a large page
	mov dword [table + 48], frame_a + 7
	mov dword [table + 48 + 4], 0x00100000	; bit 52
	FAULTS "bit 52 is reserved", VEC_PF, 9, mov eax, [VIRT + 0x6000]
	mov dword [pd + (BIG >> 21) * 8], 0x2087
	invlpg [BIG]
	FAULTS "bit 13 of a 2 MiB page is reserved", VEC_PF, 0xb, mov [BIG], eax
	mov dword [pd + (BIG >> 21) * 8], 0x87
	; NX: reserved as long as EFER.NXE is clear
	mov dword [table + 56], frame_a + 7
	mov dword [table + 56 + 4], 0x80000000
	FAULTS "NX bit without NXE is reserved", VEC_PF, 9, mov eax, [VIRT + 0x7000]
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x800
	wrmsr
	mov byte [frame_a], 0xc3
	RUNS "data of an NX page", mov eax, [VIRT + 0x7000]
	RT_ARM .nx_back
	call VIRT + 0x7000
.nx_back:
	WAS "fetch from an NX page", VEC_PF, 0x11, VIRT + 0x7000
	EQ [x_cr2], VIRT + 0x7000, "CR2 of the fetch"
	USER VIRT + 0x7000
	WAS "user fetch from an NX page", VEC_PF, 0x15, VIRT + 0x7000
	RUNS "fetch from a page without NX", call VIRT
	; a PDPTE that is not present
	mov dword [pdpt + 8], 0
	mov eax, cr3
	mov cr3, eax
	FAULTS "missing PDPTE", VEC_PF, 0, mov eax, [VIRT]
	mov dword [pdpt + 8], pd + 4096 + 1
	mov eax, cr3
	mov cr3, eax
	RUNS "it is back", mov eax, [VIRT]
	; paging off again
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	FINISH
.u_super:
	mov eax, [VIRT + 0x4000]
	DONE
