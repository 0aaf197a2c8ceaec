; paging64: four-level paging with 4 KiB, 2 MiB and 1 GiB pages; SDM volume 3, 4.5; canonical
; addresses: volume 1, 3.3.7.1
%include "rt.inc"

section .bss
	alignb 4096
pdpt2:	resb 4096
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
; PML4 entry 256 is the lowest of the upper half
HIGH equ 0xffff800000000000
%define PDE(n) [pd2 + (n) * 8]
%define PTE(n) [table + (n) * 8]
go:
	mov qword [rt_pml4 + 256 * 8], pdpt2 + 7
	mov qword [pdpt2], pd2 + 7
	mov qword [pdpt2 + 8], 0x87		; 1 GiB page onto 0
	mov qword PDE(0), table + 7
	mov qword PDE(1), 0x87			; 2 MiB page onto 0
	mov qword PTE(0), frame_a + 7
	mov qword PTE(1), frame_b + 7
	mov qword PTE(3), frame_a + 5
	mov qword PTE(4), frame_a + 3
	mov rax, cr0
	bts rax, 16
	mov cr0, rax
	mov rbx, HIGH
	mov dword [frame_a], 0x2aaa0001
	mov dword [frame_b], 0xbbbb0002
	mov dword [frame_a + 0x40], 0x4040
	mov eax, [rbx]
	EQ rax, 0x2aaa0001, "4 KiB page"
	mov eax, [rbx + 0xffe]
	EQ rax, 0x00020000, "read across a page border"
	mov eax, [rbx + 0x200000 + frame_a + 0x40]
	EQ rax, 0x4040, "2 MiB page"
	mov rsi, HIGH + 0x40000000
	mov eax, [rsi + frame_a + 0x40]
	EQ rax, 0x4040, "1 GiB page"
	mov dword [rsi + frame_a + 0x44], 0x4444
	mov eax, [rbx + 0x44]
	EQ rax, 0x4444, "write by 1 GiB page, read by 4 KiB page"

	FAULTS "missing page", VEC_PF, 0, mov eax, [rbx + 0x2000]
	lea rax, [rbx + 0x2000]
	EQ [x_cr2], rax, "CR2 in the upper half"
	FAULTS "missing page, write", VEC_PF, 2, mov [rbx + 0x2000], eax
	FAULTS "missing PDE", VEC_PF, 0, mov eax, [rbx + 0x400000]
	mov rsi, HIGH + 0x80000000
	FAULTS "missing PDPTE", VEC_PF, 0, mov eax, [rsi]
	mov rsi, HIGH + (1 << 39)
	FAULTS "missing PML4E", VEC_PF, 2, mov [rsi], eax
	FAULTS "read-only page", VEC_PF, 3, mov [rbx + 0x3000], eax
	FAULTS "or to a read-only page", VEC_PF, 3, or byte [rbx + 0x3000], 0
	USER .u_super
	WAS "user, supervisor page", VEC_PF, 5, .u_super
	USER .u_write
	WAS "user, read-only page", VEC_PF, 7, .u_write
	; rights are the and of all levels
	mov qword [rt_pml4 + 256 * 8], pdpt2 + 3
	mov rax, cr3
	mov cr3, rax
	USER .u_fine
	WAS "user, supervisor PML4E", VEC_PF, 5, .u_fine
	mov qword [rt_pml4 + 256 * 8], pdpt2 + 7
	mov qword [pdpt2], pd2 + 5
	mov cr3, rax
	FAULTS "read-only PDPTE", VEC_PF, 3, mov [rbx], eax
	mov qword [pdpt2], pd2 + 7
	mov cr3, rax
	USER .u_fine
	WAS "user page", VEC_DONE, 0, .u_fine_end

	; non-canonical addresses
	mov rsi, 0x0000800000000000
	FAULTS "non-canonical read", VEC_GP, 0, mov eax, [rsi]
	FAULTS "non-canonical write", VEC_GP, 0, mov [rsi], eax
	mov rdi, 0xffff7fffffffffff
	FAULTS "non-canonical from below", VEC_GP, 0, mov al, [rdi]
	mov rbp, rsi
	FAULTS "non-canonical by RBP is #SS", VEC_SS, 0, mov eax, [rbp]
	FAULTS "by RBP with an FS prefix is #GP", VEC_GP, 0, mov eax, [fs:rbp]
	mov dword [rt_tss64 + 36], rt_stack0_top	; IST 1: this stack cannot take a frame
	mov byte [rt_idt64 + VEC_SS * 16 + 4], 1
	mov byte [rt_idt64 + VEC_GP * 16 + 4], 1
	RT_ARM .nc_push
	lea rsp, [rsi + 0x100]
.nc_at:	push rax
.nc_push:
	WAS "push to a non-canonical stack", VEC_SS, 0, .nc_at
	FAULTS "non-canonical jump", VEC_GP, 0, jmp rsi
	FAULTS "non-canonical call", VEC_GP, 0, call rsi
	RT_ARM .nc_ret_end
	push rsi
.nc_ret: ret
.nc_ret_end:
	WAS "non-canonical return", VEC_GP, 0, .nc_ret
	RUNS "invlpg of a non-canonical address", invlpg [rsi]
	RUNS "lea and nop do not look", nop dword [rsi]
	; an access whose tail is non-canonical
	mov qword [rt_pml4 + 255 * 8], pdpt2 + 7
	mov qword [pdpt2 + 511 * 8], 0x87
	mov rsi, 0x00007ffffffffffc
	RUNS "the last canonical bytes", mov eax, [rsi]
	FAULTS "the tail of an access", VEC_GP, 0, mov rax, [rsi]

	; an instruction over the end of a page
	mov dword [frame_a + 0xffc], 0xb8909090	; nop nop nop; mov eax, ...
	mov byte [frame_b], 0x78
	mov dword [frame_b + 1], 0xc3123456	; ..., ret
	lea rdx, [rbx + 0xffc]
	call rdx
	EQ rax, 0x12345678, "instruction over a page border"
	mov qword PTE(1), 0
	invlpg [rbx + 0x1000]
	RT_ARM .cross
	call rdx
.cross:
	lea rsi, [rbx + 0xfff]
	WAS "instruction into a missing page", VEC_PF, 0, rsi
	lea rsi, [rbx + 0x1000]
	EQ [x_cr2], rsi, "CR2 is the missing page's first byte"
	mov qword PTE(1), frame_b + 7
	; invlpg
	mov eax, [rbx + 0x80]
	mov [rbx + 0x84], eax
	mov qword PTE(0), frame_b + 7
	invlpg [rbx + 0x10]
	mov dword [frame_b + 0x80], 0xb0b0
	mov eax, [rbx + 0x80]
	EQ rax, 0xb0b0, "invlpg"
	; of a large page, by any address within
	mov qword PDE(1), 0
	lea rsi, [rbx + 0x200000]
	invlpg [rsi + 0x123456]
	FAULTS "invlpg of a 2 MiB page", VEC_PF, 0, mov eax, [rsi + 0x1000]
	; a table page that is itself mapped and changed by its mapping
	mov qword PTE(8), table + 3
	mov qword [rbx + 0x8000 + 9 * 8], frame_a + 3
	mov eax, [rbx + 0x9000 + 0x40]
	EQ rax, 0x4040, "entry written through its own mapping"
	FINISH
.u_super:
	mov eax, [rbx + 0x4000]
	DONE
.u_write:
	mov [rbx + 0x3000], eax
	DONE
.u_fine:
	mov eax, [rbx]
	DONE
.u_fine_end:
