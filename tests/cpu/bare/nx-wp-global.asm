; nx-wp-global: NX, CR0.WP and global pages in long mode; SDM volume 3, 4.6, 4.10.2.4
%include "rt.inc"

section .bss
	alignb 4096
pd2:	resb 4096
table:	resb 4096
frame_a: resb 4096
frame_b: resb 4096

section .text
bits 32
main:
	mov eax, go
	call rt_enter64
bits 64
VIRT equ 0x40000000		; below 2 GiB, so that it is a displacement
go:
	mov qword [rt_pd + 4096], table + 7
	mov rax, cr3
	mov cr3, rax
	mov byte [frame_a], 0xc3
	mov byte [frame_b], 0xc3
	mov rax, 0x8000000000000007
	lea rdx, [rax + frame_a]
	mov [table], rdx
	mov qword [table + 8], frame_a + 5
	FAULTS "NX bit without NXE is reserved", VEC_PF, 9, mov eax, [VIRT]
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x800
	wrmsr
	RUNS "data of an NX page", mov eax, [VIRT]
	mov rsi, VIRT
	RT_ARM .nx1
	call rsi
.nx1:	WAS "fetch from an NX page", VEC_PF, 0x11, VIRT
	USER VIRT
	WAS "user fetch from an NX page", VEC_PF, 0x15, VIRT
	; NX in an upper level
	mov rdx, 0x8000000000000007
	add rdx, table
	mov [rt_pd + 4096], rdx
	mov qword [table + 16], frame_b + 7
	mov rax, cr3
	mov cr3, rax
	mov rsi, VIRT + 0x2000
	RT_ARM .nx2
	call rsi
.nx2:	WAS "fetch, NX in the PDE", VEC_PF, 0x11, VIRT + 0x2000
	mov qword [rt_pd + 4096], table + 7
	mov rax, cr3
	mov cr3, rax
	RUNS "fetch, NX gone", call rsi
	; a missing page: the fetch bit is set with NXE
	mov rsi, VIRT + 0x5000
	RT_ARM .nx3
	call rsi
.nx3:	WAS "fetch from a missing page", VEC_PF, 0x10, VIRT + 0x5000

	; WP
	mov rax, cr0
	btr rax, 16
	mov cr0, rax
	RUNS "WP clear: supervisor writes read-only page", mov [VIRT + 0x1ff0], eax
	USER .u_write
	WAS "WP clear: user does not", VEC_PF, 7, .u_write
	mov rax, cr0
	bts rax, 16
	mov cr0, rax
	FAULTS "WP set", VEC_PF, 3, mov [VIRT + 0x1ff0], eax

	; global pages: only what must be is checked; an entry may always be dropped
	mov dword [frame_a + 0x10], 0xa
	mov dword [frame_b + 0x10], 0xb
	mov qword [table + 24], frame_a + 7
	mov eax, [VIRT + 0x3010]
	mov qword [table + 24], frame_b + 7
	mov rax, cr3
	mov cr3, rax
	mov eax, [VIRT + 0x3010]
	EQ rax, 0xb, "CR3 drops what is not global"
	mov rax, cr4
	bts rax, 7
	mov cr4, rax
	mov qword [table + 24], frame_a + 0x107
	invlpg [VIRT + 0x3000]
	mov eax, [VIRT + 0x3010]
	EQ rax, 0xa, "a global page"
	mov qword [table + 24], frame_b + 0x107
	invlpg [VIRT + 0x3000]
	mov eax, [VIRT + 0x3010]
	EQ rax, 0xb, "invlpg drops a global page"
	mov qword [table + 24], frame_a + 0x107
	mov rax, cr4
	btr rax, 7
	mov cr4, rax
	mov eax, [VIRT + 0x3010]
	EQ rax, 0xa, "a change of CR4.PGE drops global pages"
	mov qword [table + 24], frame_b + 0x107
	mov rax, cr3
	mov cr3, rax
	mov eax, [VIRT + 0x3010]
	EQ rax, 0xb, "without PGE nothing is global"
	; a change of CR0.WP or CR4.SMEP is felt without a flush by software
	mov qword [table + 32], frame_a + 5
	invlpg [VIRT + 0x4000]
	mov eax, [VIRT + 0x4000]
	mov rax, cr0
	btr rax, 16
	mov cr0, rax
	RUNS "WP goes at once", mov [VIRT + 0x4020], eax
	bts rax, 16
	mov cr0, rax
	FAULTS "WP comes at once", VEC_PF, 3, mov [VIRT + 0x4020], eax
	FINISH
.u_write:
	mov [VIRT + 0x1000], eax
	DONE
